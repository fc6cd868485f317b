#include "base/memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace fettle {
namespace {

TEST(Memory, BlocksOfEverySizeAreAlignedZeroAndWritable) {
  for (const int64_t size : {0, 1, 63, 64, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 5'000'001}) {
    const auto block = allocate_block(size);
    ASSERT_NE(block, nullptr) << size;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.get()) % kBlockAlignment, 0u) << size;
    EXPECT_TRUE(std::all_of(block.get(), block.get() + size, [](std::byte b) { return b == std::byte{0}; })) << size;
    std::fill(block.get(), block.get() + size, std::byte{0xff});
  }
}

TEST(Memory, AFreedBlockComesBackAsZeros) {
  for (const int64_t size : {1000, 3 << 20}) {
    for (int round = 0; round < 3; ++round) {
      const auto block = allocate_block(size);
      EXPECT_EQ(std::count(block.get(), block.get() + size, std::byte{0}), size);
      std::fill(block.get(), block.get() + size, std::byte{1});
    }
  }
}

TEST(Memory, TooMuchIsNull) {
  EXPECT_EQ(allocate_block(std::numeric_limits<int64_t>::max()), nullptr);
  EXPECT_EQ(allocate_block(int64_t{1} << 60), nullptr);
}

}  // namespace
}  // namespace fettle
