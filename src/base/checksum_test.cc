#include "base/checksum.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/philox.h"

namespace fettle {
namespace {

std::vector<std::byte> random_bytes(size_t n) {
  Philox random(3, 9);
  std::vector<std::byte> bytes(n);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(256));
  return bytes;
}

constexpr size_t kSizes[] = {0, 1, 7, 8, 9, 63, 64, 65, 1000, 262143, 262144, 262145, 3000001};

TEST(Checksum, IsTheSameOnAnyNumberOfThreads) {
  for (const size_t size : kSizes) {
    const std::vector<std::byte> bytes = random_bytes(size);
    for (const int n_threads : {1, 2, 3}) {
      ThreadPool pool(n_threads);
      EXPECT_EQ(checksum64(bytes, pool), checksum64(bytes)) << size;
    }
  }
}

// From an implementation in Python, written from the description.
TEST(Checksum, StaysAsItIsBecauseFilesKeepIt) {
  EXPECT_EQ(checksum64(""), 0xab169ebd5d0c32dcu);
  EXPECT_EQ(checksum64("fettle"), 0x60a1958a24c6043du);
  std::string text;
  for (int i = 0; i < 300000; ++i) text += static_cast<char>(i * 7 % 251);
  EXPECT_EQ(checksum64(text), 0x949e4107f32722a4u);
}

TEST(Checksum, SeesEveryBit) {
  for (const size_t size : {size_t{1}, size_t{77}, size_t{200}}) {
    std::vector<std::byte> bytes = random_bytes(size);
    std::set<uint64_t> seen = {checksum64(bytes)};
    for (size_t bit = 0; bit < 8 * size; ++bit) {
      bytes[bit / 8] ^= std::byte{1} << bit % 8;
      EXPECT_TRUE(seen.insert(checksum64(bytes)).second) << size << " bit " << bit;
      bytes[bit / 8] ^= std::byte{1} << bit % 8;
    }
  }
}

TEST(Checksum, SeesBytesThatAreMovedAddedOrLost) {
  for (const size_t size : kSizes) {
    std::vector<std::byte> bytes = random_bytes(size);
    std::set<uint64_t> seen = {checksum64(bytes)};
    bytes.push_back(std::byte{0});
    EXPECT_TRUE(seen.insert(checksum64(bytes)).second) << size;
    bytes.resize(size);
    if (size < 1000) continue;
    std::swap_ranges(bytes.begin(), bytes.begin() + 8, bytes.begin() + 8);
    EXPECT_TRUE(seen.insert(checksum64(bytes)).second) << size;
    std::swap_ranges(bytes.begin(), bytes.begin() + 8, bytes.begin() + 8);
    // The sign bit of two words of one lane.
    bytes[7] ^= std::byte{0x80};
    bytes[23] ^= std::byte{0x80};
    EXPECT_TRUE(seen.insert(checksum64(bytes)).second) << size;
    bytes[7] ^= std::byte{0x80};
    bytes[23] ^= std::byte{0x80};
    bytes.resize(size - 1);
    EXPECT_TRUE(seen.insert(checksum64(bytes)).second) << size;
  }
  // Two blocks that change places.
  std::vector<std::byte> bytes = random_bytes(size_t{512} << 10);
  const uint64_t before = checksum64(bytes);
  std::swap_ranges(bytes.begin(), bytes.begin() + (256 << 10), bytes.begin() + (256 << 10));
  EXPECT_NE(checksum64(bytes), before);
}

TEST(Checksum, ZerosOfDifferentLengthDiffer) {
  std::set<uint64_t> seen;
  for (size_t size = 0; size < 300; ++size) {
    EXPECT_TRUE(seen.insert(checksum64(std::vector<std::byte>(size))).second) << size;
  }
}

}  // namespace
}  // namespace fettle
