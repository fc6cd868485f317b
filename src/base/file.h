// Files: read-only mapping, whole reads with a limit, and writes that appear under their final name only when complete.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace fettle {

// A regular file mapped read-only. Refuses folders, FIFOs and devices. A file that somebody cuts short while it is
// mapped ends the process (SIGBUS) when the missing part is touched; replacing the file by rename, as fettle does, is
// harmless.
class MappedFile {
 public:
  // Errors: kIo when it cannot be opened or mapped. An empty file gives empty bytes().
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }
  // Lets the kernel drop the pages wholly inside the range from this process's memory; they are read again when
  // touched.
  void drop_pages(const void* begin, size_t size_bytes) const;

 private:
  MappedFile() = default;
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The whole file; kBadInput when it is longer than `limit_bytes`, kIo when it cannot be read.
std::string read_file(const std::filesystem::path& path, int64_t limit_bytes = int64_t{256} << 20);

// Writes to a temporary sibling; commit() syncs it and renames it over `path`. Without commit() the destructor removes
// it.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t size_bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  void flush();
  void write_through(const char* data, size_t size_bytes);
  [[noreturn]] void give_up(const char* action, int errno_value);
  void discard();

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  std::string buffer_;
};

// write + commit of one text.
void write_file(const std::filesystem::path& path, std::string_view text);

// The same for a folder: files are made in path(), a temporary sibling; commit() renames it to its final name.
// An existing target is an error of kUsage unless `replace`; then the old folder is moved aside and removed after the
// rename.
class AtomicFolder {
 public:
  AtomicFolder(std::filesystem::path target, bool replace);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& path() const { return temporary_; }
  void commit();

 private:
  void release_claim();

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  bool replace_;
  int claim_fd_ = -1;  // held open while the temporary folder is in use
};

// The errors that AtomicFolder would meet for this target, found before the work is done; changes nothing.
void check_output_folder(const std::filesystem::path& target, bool replace);

// Bytes of a file, or of all regular files below a folder.
int64_t size_on_disk(const std::filesystem::path& path);

}  // namespace fettle
