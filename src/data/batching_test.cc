#include "data/batching.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/philox.h"

namespace fettle {
namespace {

std::vector<int32_t> some_lengths(size_t n) {
  Philox random(9);
  std::vector<int32_t> lengths(n);
  for (int32_t& length : lengths) length = 3 + static_cast<int32_t>(random.below(40));
  return lengths;
}

void expect_each_once(const BatchPlan& plan, size_t n) {
  std::vector<int32_t> sorted = plan.order;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int32_t> all(n);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
  EXPECT_EQ(plan.offsets.front(), 0);
  EXPECT_EQ(plan.offsets.back(), static_cast<int64_t>(n));
}

TEST(Batching, EveryExampleOnce) {
  const auto lengths = some_lengths(1001);
  for (int64_t window : {1, 50}) {
    const BatchPlan plan =
        training_batches(lengths, {.batch_size = 32, .window_batches = window, .seed = 2, .epoch = 1});
    expect_each_once(plan, lengths.size());
    EXPECT_EQ(plan.n_batches(), 32);
  }
  expect_each_once(evaluation_batches(lengths, 64), lengths.size());
}

TEST(Batching, TokenBudgetHolds) {
  auto lengths = some_lengths(500);
  lengths[7] = 1000;  // alone in its batch
  const BatchPlan plan = training_batches(lengths, {.token_budget = 256});
  expect_each_once(plan, lengths.size());
  for (int64_t b = 0; b < plan.n_batches(); ++b) {
    int64_t tokens = 0;
    for (int32_t i : plan.batch(b)) tokens += lengths[i];
    EXPECT_TRUE(tokens <= 256 || plan.batch(b).size() == 1);
  }
}

TEST(Batching, OrderIsAFunctionOfSeedAndEpoch) {
  const auto lengths = some_lengths(300);
  const auto order = [&](uint64_t seed, int64_t epoch) {
    return training_batches(lengths, {.seed = seed, .epoch = epoch}).order;
  };
  EXPECT_EQ(order(1, 0), order(1, 0));
  EXPECT_NE(order(1, 0), order(1, 1));
  EXPECT_NE(order(1, 0), order(2, 0));
}

TEST(Batching, WindowsGatherLikeLengths) {
  const auto lengths = some_lengths(3200);
  const auto spread = [&](int64_t window) {
    const BatchPlan plan = training_batches(lengths, {.batch_size = 32, .window_batches = window});
    int64_t sum = 0;
    for (int64_t b = 0; b < plan.n_batches(); ++b) {
      const auto batch = plan.batch(b);
      const auto [least, most] = std::minmax_element(batch.begin(), batch.end(),
                                                     [&](int32_t x, int32_t y) { return lengths[x] < lengths[y]; });
      sum += lengths[*most] - lengths[*least];
    }
    return sum;
  };
  EXPECT_LT(spread(50) * 10, spread(1));
}

TEST(Batching, EvaluationIsSortedAndStable) {
  const std::vector<int32_t> lengths = {5, 3, 5, 1, 3};
  EXPECT_EQ(evaluation_batches(lengths, 2).order, (std::vector<int32_t>{3, 1, 4, 0, 2}));
}

TEST(Batching, NothingGivesNoBatch) {
  EXPECT_EQ(training_batches({}, {}).n_batches(), 0);
  EXPECT_EQ(evaluation_batches({}, 4).n_batches(), 0);
}

}  // namespace
}  // namespace fettle
