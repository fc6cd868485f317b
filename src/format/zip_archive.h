// Zip archives in memory: members found through the central directory, stored or deflated, with zip64 (PKWARE
// APPNOTE 6.3.10).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fettle {

struct ZipMember {
  std::string name;
  bool deflated = false;
  uint32_t crc32 = 0;
  int64_t size_bytes = 0;  // as unpacked
  std::span<const std::byte> packed;
};

// Refuses what two readers could understand differently: members that overlap, a name given twice, local headers that
// contradict the directory, encryption, several disks, and bytes after the end of the directory.
class ZipArchive {
 public:
  // The bytes must outlive the archive. kBadInput naming `where`.
  ZipArchive(std::span<const std::byte> bytes, std::string where);

  const std::vector<ZipMember>& members() const { return members_; }
  // nullptr when there is none.
  const ZipMember* find(std::string_view name) const;
  // The whole member, unpacked where need be into `storage` (which it then views), its checksum compared. kBadInput
  // when it is longer than `limit_bytes`, does not unpack to the declared size or fails the checksum.
  std::span<const std::byte> read(const ZipMember& member, int64_t limit_bytes, std::vector<std::byte>& storage) const;
  // Unpacks a deflated member into `out`, which must have size_bytes bytes. kBadInput as read().
  void inflate(const ZipMember& member, std::byte* out) const;

 private:
  struct Directory {
    uint64_t begin, size_bytes, n_entries;
  };
  Directory find_directory() const;
  Directory find_zip64_directory(size_t locator) const;
  void read_directory(const Directory& directory);
  size_t read_entry(size_t at, const Directory& directory, std::vector<uint64_t>& local_begins);
  void read_local_header(ZipMember& member, uint64_t at, uint64_t packed_bytes, uint64_t end) const;
  void check_overlaps(const std::vector<uint64_t>& local_begins) const;

  std::span<const std::byte> bytes_;
  std::string where_;
  std::vector<ZipMember> members_;
  std::unordered_map<std::string_view, size_t> index_;
};

}  // namespace fettle
