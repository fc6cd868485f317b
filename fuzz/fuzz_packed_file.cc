// Any bytes as a file of packed weights: refused as bad input in one line, or read; then every image lies inside the
// bytes and has its place to itself. The checksum of the directory, which no
// fuzzer would find, is put right first.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "base/error.h"
#include "runtime/packed_file.h"

namespace {

constexpr size_t kPrefixBytes = 24;

void require(bool condition) {
  if (!condition) std::abort();
}

std::vector<std::byte> with_checksum(const uint8_t* data, size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> bytes(begin, begin + size);
  if (size < kPrefixBytes) return bytes;
  uint64_t directory_bytes;
  std::memcpy(&directory_bytes, data + 8, sizeof directory_bytes);
  const size_t n = std::min<uint64_t>(directory_bytes, size - kPrefixBytes);
  const uint64_t checksum = fettle::checksum64(std::span(bytes).subspan(kPrefixBytes, n));
  std::memcpy(bytes.data() + 16, &checksum, sizeof checksum);
  return bytes;
}

void check(const fettle::PackedFile& file, std::span<const std::byte> all) {
  const std::byte* end = all.data();
  for (const fettle::PackedEntry& entry : file.entries()) {
    require(entry.bytes.data() >= end && entry.bytes.data() <= all.data() + all.size());
    end = entry.bytes.data() + entry.bytes.size();
    require(end <= all.data() + all.size());
    require(file.find(entry.source.name) == &entry && entry.source.shape.size() == 2);
    fettle::checksum64(entry.bytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<std::byte> bytes = with_checksum(data, size);
  try {
    check(fettle::PackedFile::from_bytes(bytes, nullptr, "input"), bytes);
  } catch (const fettle::Error& error) {
    require(error.code() == fettle::ErrorCode::kBadInput && error.what()[0] != '\0' &&
            std::strchr(error.what(), '\n') == nullptr);
  }
  return 0;
}
