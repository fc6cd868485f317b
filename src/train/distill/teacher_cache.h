// Keeps what a teacher gives for a data set in files of a cache folder, so that it is computed once.
//
//   bytes 0…7    "FETTLETO"
//   bytes 8…15   length of the header, little-endian; header and these 16 bytes together are a multiple of 64
//   header       JSON: {"format", "key", "type", "rows", "width"}, filled up with spaces
//   rows         row after row, f32 or bf16
//   last 8 bytes checksum (base/checksum.h) of the checksums of all before it, cut into blocks of 4 MiB
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "base/thread_pool.h"
#include "tensor/tensor.h"
#include "train/distill/distill_options.h"

namespace fettle {

// Rows of one kind for a data set, and what they were made from: equal keys, equal rows.
struct TeacherEntry {
  Json key;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t width = 0;

  int64_t data_bytes() const;
};

// Writes an entry row by row; the file has its name after commit() only.
class TeacherEntryWriter {
 public:
  TeacherEntryWriter(const std::filesystem::path& path, const TeacherEntry& entry);
  void write(const void* rows, int64_t size_bytes);
  // Error kFailed when there were more or fewer rows than the entry says.
  void commit();

 private:
  void flush();

  AtomicFile file_;
  std::string path_;
  std::string block_;
  std::string sums_;
  int64_t left_bytes_ = 0;
};

// Nothing of the files is believed: key, sizes and checksum are compared, and what does not fit is made anew after a
// log line. A folder that cannot be written is one warning, and then there is no cache.
class TeacherCache {
 public:
  TeacherCache(const TeacherCacheOptions& options, ThreadPool& pool);

  bool is_on() const { return !options_.folder.empty(); }
  // The rows, mapped from the file; marks the entry as used.
  std::optional<Tensor> find(const TeacherEntry& entry);
  // Makes room for so many bytes by removing what was not used for longest; false when the folder may not hold them.
  bool make_room(int64_t size_bytes);
  // A writer for a new entry; null, after a warning, when the folder cannot be written.
  std::unique_ptr<TeacherEntryWriter> write(const TeacherEntry& entry);
  std::filesystem::path path_of(const TeacherEntry& entry) const;

 private:
  Tensor read(const TeacherEntry& entry, const std::filesystem::path& path) const;

  TeacherCacheOptions options_;
  ThreadPool& pool_;
};

}  // namespace fettle
