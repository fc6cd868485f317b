#include "base/checksum.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace fettle {
namespace {

// Bytes are cut into blocks, whose digests are folded in order; a block is read in several streams at once, which
// memory answers faster than one (85 MB on one thread: 7.4 against 12.4 ms).
constexpr size_t kBlockBytes = size_t{256} << 10;
constexpr size_t kStreams = 4;
constexpr size_t kStreamStep = 16;  // two words
constexpr size_t kLanes = kStreams * kStreamStep / sizeof(uint64_t);
constexpr size_t kPrefetchAhead = 1024;
constexpr int64_t kGrain = 4;  // blocks for one task

constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio

uint64_t word_at(const std::byte* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// Both halves of the product: without the upper one, the top bits of a word would reach few bits of the state, where
// those of the next word could undo them.
constexpr uint64_t mixed(uint64_t state, uint64_t word) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(state ^ word) * kOdd;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

constexpr uint64_t finished(uint64_t state) {
  state = (state ^ state >> 32) * kOdd;
  return state ^ state >> 29;
}

uint64_t block_digest(const std::byte* data, size_t size) {
  const size_t stream = size / kStreams / kStreamStep * kStreamStep;
  uint64_t lanes[kLanes];
  for (size_t i = 0; i < kLanes; ++i) lanes[i] = kOdd * (i + 1);
  for (size_t at = 0; at < stream; at += kStreamStep) {
#pragma GCC unroll 8
    for (size_t i = 0; i < kLanes; ++i) {
      const std::byte* const from = data + i / 2 * stream + at;
      if (i % 2 == 0) __builtin_prefetch(from + kPrefetchAhead);
      lanes[i] = mixed(lanes[i], word_at(from + i % 2 * sizeof(uint64_t)));
    }
  }
  uint64_t digest = size;
  for (const uint64_t lane : lanes) digest = mixed(digest, lane);
  size_t at = kStreams * stream;
  for (; at + sizeof(uint64_t) <= size; at += sizeof(uint64_t)) digest = mixed(digest, word_at(data + at));
  if (at < size) {
    uint64_t word = 0;
    std::memcpy(&word, data + at, size - at);
    digest = mixed(digest, word);
  }
  return finished(digest);
}

uint64_t block_digest(std::span<const std::byte> bytes, int64_t block) {
  const size_t begin = static_cast<size_t>(block) * kBlockBytes;
  return block_digest(bytes.data() + begin, std::min(kBlockBytes, bytes.size() - begin));
}

int64_t n_blocks_of(std::span<const std::byte> bytes) {
  return static_cast<int64_t>((bytes.size() + kBlockBytes - 1) / kBlockBytes);
}

}  // namespace

uint64_t checksum64(std::span<const std::byte> bytes) {
  uint64_t sum = kOdd ^ bytes.size();
  for (int64_t block = 0; block < n_blocks_of(bytes); ++block) sum = mixed(sum, block_digest(bytes, block));
  return finished(sum);
}

uint64_t checksum64(std::span<const std::byte> bytes, ThreadPool& pool) {
  const int64_t n_blocks = n_blocks_of(bytes);
  if (pool.n_threads() == 1 || n_blocks <= kGrain) return checksum64(bytes);
  std::vector<uint64_t> digests(static_cast<size_t>(n_blocks));
  pool.parallel_ranges(n_blocks, kGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t block = begin; block < end; ++block) digests[static_cast<size_t>(block)] = block_digest(bytes, block);
  });
  uint64_t sum = kOdd ^ bytes.size();
  for (const uint64_t digest : digests) sum = mixed(sum, digest);
  return finished(sum);
}

uint64_t checksum64(std::string_view text) {
  return checksum64(std::as_bytes(std::span(text)));
}

}  // namespace fettle
