// The file that keeps packed weights: a directory and the images, to be used where they lie in the mapped file.
//
//   bytes 0…7    "FETTLEPK"
//   bytes 8…15   length of the directory, a multiple of 4096 less 24, little-endian
//   bytes 16…23  checksum (base/checksum.h) of the directory
//   directory    JSON: {"format", "table", "packing", "size_bytes", "entries": [{"name", "shape", "encoding", "source",
//                "offset", "size_bytes", "checksum"}]}, filled up with spaces
//   images       in the order of the directory, each at the next multiple of 4096; the file ends with the last one
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace fettle {

// What an image was made from: it serves again where all of these are the same.
struct PackedSource {
  std::string name;       // the parameters, a line for each
  Shape shape;            // of the weights, [out, in]
  std::string encoding;   // as stored, and the numbers they are multiplied in
  uint64_t checksum = 0;  // of the stored values

  bool operator==(const PackedSource&) const = default;
};

struct PackedEntry {
  PackedSource source;
  std::span<const std::byte> bytes;
  uint64_t checksum = 0;  // of the bytes
};

class PackedFile {
 public:
  // Maps the file. Errors: kIo; kBadInput in one line for everything that the directory may have wrong: another format,
  // sizes and offsets that do not fit each other or the file, names that occur twice, a wrong checksum of the
  // directory. The images' checksums are the caller's to compare, when an image is wanted.
  static PackedFile open(const std::filesystem::path& path);
  // `owner` keeps the bytes.
  static PackedFile from_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                               std::string_view where);

  const std::string& table() const { return table_; }
  uint64_t packing() const { return packing_; }
  const std::vector<PackedEntry>& entries() const { return entries_; }
  // nullptr when there is none of that name.
  const PackedEntry* find(std::string_view name) const;
  const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  std::string table_;
  uint64_t packing_ = 0;
  std::vector<PackedEntry> entries_;
  std::shared_ptr<const void> owner_;
};

// Atomically; the entries' names differ. Error kIo.
void write_packed_file(const std::filesystem::path& path, std::string_view table, uint64_t packing,
                       std::span<const PackedEntry> entries);

}  // namespace fettle
