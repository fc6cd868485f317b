#include "base/philox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace fettle {
namespace {

using Block = std::array<uint32_t, 4>;

// Known answers published with Random123 (kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32(0, 0, 0), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // Counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0.
  EXPECT_EQ(philox4x32(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, SequenceIsTheBlocksInOrder) {
  Philox random(7, 3);
  for (uint64_t block = 0; block < 5; ++block) {
    for (const uint32_t word : philox4x32(7, 3, block)) EXPECT_EQ(random.next_u32(), word);
  }
  EXPECT_EQ(random.position(), 20u);
}

TEST(Philox, SeekContinuesAnywhere) {
  Philox random(11);
  std::vector<uint32_t> values(50);
  for (uint32_t& value : values) value = random.next_u32();
  for (const uint64_t position : {0, 1, 3, 4, 5, 31, 49}) {
    random.seek(position);
    EXPECT_EQ(random.position(), position);
    EXPECT_EQ(random.next_u32(), values[position]);
  }
  Philox copy = random;
  EXPECT_EQ(copy.next_u64(), random.next_u64());
}

TEST(Philox, StreamsAndSeedsDiffer) {
  EXPECT_NE(Philox(1, 0).next_u64(), Philox(1, 1).next_u64());
  EXPECT_NE(Philox(1, 0).next_u64(), Philox(2, 0).next_u64());
}

TEST(Philox, UniformIsInHalfOpenRangeWithRightMoments) {
  Philox random(5);
  const int n = 100000;
  double sum = 0;
  double sum_squares = 0;
  for (int i = 0; i < n; ++i) {
    const double x = i % 2 == 0 ? random.uniform() : random.uniform_double();
    ASSERT_GE(x, 0.0);
    ASSERT_LT(x, 1.0);
    sum += x;
    sum_squares += x * x;
  }
  const double mean = sum / n;
  EXPECT_NEAR(mean, 0.5, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(sum_squares / n - mean * mean, 1.0 / 12, 0.002);
}

// Kolmogorov-Smirnov distance to the normal distribution.
TEST(Philox, NormalIsNormal) {
  Philox random(9);
  std::vector<double> values(20000);
  for (double& value : values) value = random.normal();
  std::sort(values.begin(), values.end());
  double distance = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double expected = 0.5 * std::erfc(-values[i] / std::sqrt(2.0));
    distance = std::max(distance, std::fabs(expected - (static_cast<double>(i) + 0.5) / 20000));
  }
  EXPECT_LT(distance, 1.63 / std::sqrt(20000.0));  // 1% point
}

TEST(Philox, BelowIsUniform) {
  Philox random(13);
  EXPECT_EQ(random.below(1), 0u);
  std::array<int, 6> counts{};
  for (int i = 0; i < 60000; ++i) ++counts[random.below(6)];
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
  EXPECT_LT(chi_square, 20.5);  // 0.1% point with 5 degrees of freedom
  // Just above 2^63, where a plain modulo would be badly biased, about half of the draws must be rejected.
  const uint64_t n = (uint64_t{1} << 63) + 1;
  for (int i = 0; i < 1000; ++i) EXPECT_LT(random.below(n), n);
  EXPECT_GT(random.position(), 60000u * 2 + 2 + 2 * 1700);
}

TEST(Philox, ShuffleIsAPermutationAndKeepsItsOrder) {
  std::vector<int> items(100);
  std::iota(items.begin(), items.end(), 0);
  std::vector<int> again = items;
  const std::vector<int> sorted = items;
  Philox(21, 4).shuffle(items);
  Philox(21, 4).shuffle(again);
  EXPECT_EQ(items, again);
  EXPECT_NE(items, sorted);
  EXPECT_TRUE(std::is_permutation(items.begin(), items.end(), sorted.begin()));
}

// Golden: what a stored checkpoint or a published split depends on. A change here breaks reproducibility.
TEST(Philox, GoldenDraws) {
  std::vector<int> items = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  Philox(42, 1).shuffle(items);
  EXPECT_EQ(items, (std::vector<int>{8, 0, 1, 5, 6, 3, 2, 4, 7, 9}));
  Philox random(42);
  EXPECT_EQ(random.next_u32(), 2632642643u);
  EXPECT_FLOAT_EQ(random.uniform(), 0.4685865044593811f);
  EXPECT_FLOAT_EQ(random.normal(), -1.235620741535049f);
  EXPECT_EQ(random.below(1000), 213u);
}

TEST(Philox, DropoutKeepsTheRightShareAndFollowsItsDefinition) {
  int kept = 0;
  for (uint64_t i = 0; i < 40000; ++i) kept += dropout_keep(3, 8, i, 0.1f) ? 1 : 0;
  EXPECT_NEAR(kept, 36000, 5 * std::sqrt(40000 * 0.09));
  // Eight elements to a block, the low half of each word before the high one.
  const Block block = philox4x32(3, 8, 5);
  for (uint64_t i = 0; i < 8; ++i) {
    const uint32_t half = i % 2 == 0 ? block[i / 2] % 65536 : block[i / 2] / 65536;
    for (const float p : {0.25f, 0.5f, 0.75f}) EXPECT_EQ(dropout_keep(3, 8, 40 + i, p), half >= p * 65536) << i;
  }
}

TEST(Philox, DropoutThresholdIsRounded) {
  EXPECT_EQ(dropout_threshold(0.0f), 0u);
  EXPECT_EQ(dropout_threshold(0.1f), 6554u);
  EXPECT_EQ(dropout_threshold(0.5f), 32768u);
  EXPECT_EQ(dropout_threshold(0x1p-18f), 0u);
  EXPECT_EQ(dropout_threshold(1 - 0x1p-16f), 65535u);
  EXPECT_EQ(dropout_threshold(1 - 0x1p-18f), 65536u);
  for (uint64_t i = 0; i < 1000; ++i) {
    EXPECT_TRUE(dropout_keep(3, 8, i, 0.0f));
    EXPECT_FALSE(dropout_keep(3, 8, i, 1 - 0x1p-18f));
  }
}

}  // namespace
}  // namespace fettle
