#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/os.h"
#include "base/temporary.h"

namespace fettle {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

void require_replaceable(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return;
  if (S_ISDIR(status.st_mode)) io_error(path.string(), "is a folder, not a file");
  if (!S_ISREG(status.st_mode)) io_error(path.string(), "is not a regular file");
}

// Keeps an open file claimed (base/temporary.h) after its descriptor is closed.
class Claim {
 public:
  explicit Claim(int fd) : fd_(::fcntl(fd, F_DUPFD_CLOEXEC, 0)) {}
  ~Claim() {
    if (fd_ >= 0) ::close(fd_);
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

 private:
  int fd_;
};

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  require_replaceable(path_);
  remove_abandoned(path_);
  while (true) {
    temporary_ = temporary_sibling(path_);
    fd_ = os().open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd_ >= 0 && claim_temporary(fd_)) return;
    if (fd_ >= 0)
      os().close(std::exchange(fd_, -1));
    else if (errno != EEXIST && errno != EINTR)
      break;
  }
  const int error = errno;
  temporary_.clear();
  io_error_from(path_.string(), "cannot create", error);
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::discard() {
  if (fd_ >= 0) os().close(std::exchange(fd_, -1));
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
  buffer_.clear();
}

void AtomicFile::give_up(const char* action, int errno_value) {
  discard();
  io_error_from(path_.string(), action, errno_value);
}

void AtomicFile::write(const void* data, size_t size_bytes) {
  if (fd_ < 0) failed(path_.string(), "written to after it was committed or had failed");
  const char* bytes = static_cast<const char*>(data);
  if (buffer_.size() + size_bytes > kBufferBytes) flush();
  if (size_bytes >= kBufferBytes) {
    write_through(bytes, size_bytes);
  } else {
    buffer_.append(bytes, size_bytes);
  }
}

void AtomicFile::flush() {
  write_through(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void AtomicFile::write_through(const char* data, size_t size_bytes) {
  while (size_bytes > 0) {
    const ssize_t n = os().write(fd_, data, size_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) give_up("cannot write", n < 0 ? errno : EIO);
    data += n;
    size_bytes -= static_cast<size_t>(n);
  }
}

void AtomicFile::commit() {
  if (fd_ < 0) failed(path_.string(), "committed after it was committed or had failed");
  flush();
  if (sync_descriptor(fd_) != 0) give_up("cannot write to disk", errno);
  // Until the file has its name, another process that writes there must not take it for abandoned.
  const Claim claim(fd_);
  // Linux has closed the descriptor even when close() fails, so it is never closed twice.
  if (os().close(std::exchange(fd_, -1)) != 0 && errno != EINTR) give_up("cannot write to disk", errno);
  if (os().rename(temporary_.c_str(), path_.c_str()) != 0) give_up("cannot rename the finished file", errno);
  temporary_.clear();
  sync_folder(folder_of(path_));
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace fettle
