#include "base/os.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace fettle {
namespace {

Os real_os;
Os* current_os = &real_os;

}  // namespace

int Os::open(const char* path, int flags, int mode) {
  return ::open(path, flags, mode);
}
ssize_t Os::write(int fd, const void* data, size_t size_bytes) {
  return ::write(fd, data, size_bytes);
}
int Os::fsync(int fd) {
  return ::fsync(fd);
}
int Os::close(int fd) {
  return ::close(fd);
}
int Os::rename(const char* from, const char* to) {
  return ::rename(from, to);
}
int Os::exchange(const char* a, const char* b) {
  return ::renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

Os& os() {
  return *current_os;
}

Os* set_os(Os* replacement) {
  Os* former = current_os;
  current_os = replacement != nullptr ? replacement : &real_os;
  return former;
}

}  // namespace fettle
