#include "base/temporary.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/os.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTemporary = ".tmp";
constexpr std::string_view kAside = ".old";
// Long names are cut, so that the temporary name stays within the 255 bytes of a file name.
constexpr size_t kMaxStemBytes = 180;

std::atomic<uint64_t> n_siblings{0};

std::string prefix_of(const fs::path& target) {
  return fmt::format(".{}.", target.filename().string().substr(0, kMaxStemBytes));
}

fs::path sibling(const fs::path& target, std::string_view suffix) {
  return folder_of(target) / fmt::format("{}{}-{}{}", prefix_of(target), ::getpid(), n_siblings.fetch_add(1), suffix);
}

// Whether `name` is `prefix` PID "-" COUNTER `suffix`.
bool is_sibling(std::string_view name, std::string_view prefix, std::string_view suffix) {
  if (name.size() < prefix.size() + suffix.size() || !name.starts_with(prefix) || !name.ends_with(suffix)) return false;
  const std::string_view numbers = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  const size_t dash = numbers.find('-');
  const auto all_digits = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  };
  return dash != numbers.npos && all_digits(numbers.substr(0, dash)) && all_digits(numbers.substr(dash + 1));
}

// An advisory lock is gone with the process that held it, also after kill -9.
void remove_unless_claimed(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  std::error_code ignored;
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) fs::remove_all(path, ignored);
  ::close(fd);
}

void sync_path(const fs::path& path, int flags) {
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

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}
fs::path temporary_sibling(const fs::path& target) {
  return sibling(target, kTemporary);
}
fs::path aside_sibling(const fs::path& target) {
  return sibling(target, kAside);
}

bool claim_temporary(int fd) {
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
  struct stat status {};
  return ::fstat(fd, &status) != 0 || status.st_nlink > 0;
}

void remove_abandoned(const fs::path& target) {
  const std::string prefix = prefix_of(target);
  std::vector<fs::path> candidates;
  struct stat status {};
  const bool target_stands = ::lstat(target.c_str(), &status) == 0;
  std::error_code error;
  for (fs::directory_iterator it(folder_of(target), error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (is_sibling(name, prefix, kTemporary) || (target_stands && is_sibling(name, prefix, kAside))) {
      candidates.push_back(it->path());
    }
  }
  for (const fs::path& path : candidates) remove_unless_claimed(path);
}

int sync_descriptor(int fd) {
  int result = os().fsync(fd);
  while (result != 0 && errno == EINTR) result = os().fsync(fd);
  return result;
}

void sync_folder(const fs::path& folder) {
  sync_path(folder, O_RDONLY | O_DIRECTORY);
}
void sync_file(const fs::path& path) {
  sync_path(path, O_RDONLY | O_NOFOLLOW);
}

}  // namespace fettle
