#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/checked.h"
#include "base/error.h"

namespace fettle {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;

// Closes a descriptor that was only read from, where the result of close() means nothing.
class ReadDescriptor {
 public:
  explicit ReadDescriptor(int fd) : fd_(fd) {}
  ReadDescriptor(ReadDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~ReadDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

void require_regular(const struct stat& status, const std::string& path) {
  if (S_ISDIR(status.st_mode)) io_error(path, "is a folder, not a file");
  if (!S_ISREG(status.st_mode)) io_error(path, "is not a regular file");
}

// Looked at before opening, because opening a device may do something, and after, because the name may have changed
// hands.
ReadDescriptor open_regular(const std::string& path, int64_t* size_bytes) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) io_error_from(path, "cannot open", errno);
  require_regular(status, path);
  ReadDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.fd() < 0) io_error_from(path, "cannot open", errno);
  if (::fstat(file.fd(), &status) != 0) io_error_from(path, "cannot read", errno);
  require_regular(status, path);
  *size_bytes = status.st_size;
  return file;
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path.string();
  int64_t size_bytes = 0;
  const ReadDescriptor descriptor = open_regular(file->path_, &size_bytes);
  if (size_bytes == 0) return file;
  void* data = ::mmap(nullptr, static_cast<size_t>(size_bytes), PROT_READ, MAP_PRIVATE, descriptor.fd(), 0);
  if (data == MAP_FAILED) io_error_from(file->path_, "cannot map into memory", errno);
  file->data_ = static_cast<const std::byte*>(data);
  file->size_ = static_cast<size_t>(size_bytes);
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop_pages(const void* begin, size_t size_bytes) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const auto base = reinterpret_cast<uintptr_t>(data_);
  const auto first = reinterpret_cast<uintptr_t>(begin);
  if (data_ == nullptr || first < base || first - base > size_ || size_bytes > size_ - (first - base)) return;
  const uintptr_t low = (first + page - 1) / page * page;
  const uintptr_t high = (first + size_bytes) / page * page;
  if (low < high) ::madvise(reinterpret_cast<void*>(low), high - low, MADV_DONTNEED);
}

std::string read_file(const std::filesystem::path& path, int64_t limit_bytes) {
  int64_t size_bytes = 0;
  const ReadDescriptor file = open_regular(path.string(), &size_bytes);
  const auto refuse_if_longer = [&](int64_t n) {
    if (n > limit_bytes) bad_input(path.string(), fmt::format("is longer than the limit of {} bytes", limit_bytes));
  };
  refuse_if_longer(size_bytes);
  std::string text;
  // The size is a hint only: the file may grow while it is read, and files of /proc say 0.
  while (true) {
    const size_t used = text.size();
    const size_t expected = static_cast<size_t>(size_bytes) > used ? static_cast<size_t>(size_bytes) - used : 0;
    text.resize(used + std::max(expected, used == 0 ? size_t{4096} : std::min(used, kReadBytes)));
    const ssize_t n = ::read(file.fd(), text.data() + used, text.size() - used);
    const int error = errno;
    text.resize(used + (n > 0 ? static_cast<size_t>(n) : 0));
    if (n < 0 && error == EINTR) continue;
    if (n < 0) io_error_from(path.string(), "cannot read", error);
    if (n == 0) break;
    refuse_if_longer(static_cast<int64_t>(text.size()));
  }
  return text;
}

int64_t size_on_disk(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  try {
    if (!fs::is_directory(path)) return static_cast<int64_t>(fs::file_size(path));
    int64_t total = 0;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) {
        total = checked_add(total, static_cast<int64_t>(entry.file_size()), path.string());
      }
    }
    return total;
  } catch (const fs::filesystem_error& error) {
    io_error_from(path.string(), "cannot measure", error.code().value());
  }
}

}  // namespace fettle
