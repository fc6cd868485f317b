// The one door to the operating system for writing: tests put a faulty one in its place.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace fettle {

// System calls as the kernel has them: -1 and errno on failure.
class Os {
 public:
  virtual ~Os() = default;
  virtual int open(const char* path, int flags, int mode);
  virtual ssize_t write(int fd, const void* data, size_t size_bytes);
  virtual int fsync(int fd);
  virtual int close(int fd);
  virtual int rename(const char* from, const char* to);
  // Swaps two names in one step (renameat2 RENAME_EXCHANGE); EINVAL or ENOSYS where the file system cannot.
  virtual int exchange(const char* a, const char* b);
};

Os& os();
// Replaces the door (nullptr: the real one); returns the former. For tests only, before threads start.
Os* set_os(Os* replacement);

}  // namespace fettle
