#include "base/temporary.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>

#include "base/error.h"
#include "base/os.h"

namespace fettle {
namespace {

// Long names are cut, so that the temporary name stays within the 255 bytes of a file name.
constexpr size_t kMaxStemBytes = 180;

std::atomic<uint64_t> n_temporaries{0};

void sync_path(const std::filesystem::path& path, int flags) {
  const int fd = os().open(path.c_str(), flags | O_CLOEXEC, 0);
  if (fd < 0) io_error_from(path.string(), "cannot open to write it to disk", errno);
  const int result = sync_descriptor(fd);
  const int error = errno;
  os().close(fd);
  // Some file systems cannot sync folders and say so; there is nothing more to do then.
  const bool unsupported = (flags & O_DIRECTORY) != 0 && (error == EINVAL || error == ENOTSUP);
  if (result != 0 && !unsupported) io_error_from(path.string(), "cannot write to disk", error);
}

}  // namespace

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

std::filesystem::path temporary_sibling(const std::filesystem::path& target) {
  const std::string stem = target.filename().string().substr(0, kMaxStemBytes);
  return folder_of(target) / fmt::format(".{}.{}-{}.tmp", stem, ::getpid(), n_temporaries.fetch_add(1));
}

int sync_descriptor(int fd) {
  int result = os().fsync(fd);
  while (result != 0 && errno == EINTR) result = os().fsync(fd);
  return result;
}

void sync_folder(const std::filesystem::path& folder) {
  sync_path(folder, O_RDONLY | O_DIRECTORY);
}
void sync_file(const std::filesystem::path& path) {
  sync_path(path, O_RDONLY | O_NOFOLLOW);
}

}  // namespace fettle
