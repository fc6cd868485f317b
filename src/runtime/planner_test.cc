#include "runtime/planner.h"

#include <gtest/gtest.h>

#include "base/philox.h"

namespace fettle {
namespace {

bool lives_overlap(const BufferLife& a, const BufferLife& b) {
  return a.first <= b.last && b.first <= a.last;
}

void expect_sound(const std::vector<BufferLife>& buffers, const MemoryPlan& plan) {
  ASSERT_EQ(plan.offsets.size(), buffers.size());
  for (size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_EQ(plan.offsets[i] % kArenaAlignment, 0);
    EXPECT_LE(plan.offsets[i] + buffers[i].size_bytes, plan.arena_bytes);
    for (size_t j = 0; j < i; ++j) {
      if (!lives_overlap(buffers[i], buffers[j])) continue;
      const bool apart = plan.offsets[i] + buffers[i].size_bytes <= plan.offsets[j] ||
                         plan.offsets[j] + buffers[j].size_bytes <= plan.offsets[i];
      EXPECT_TRUE(apart || buffers[i].size_bytes == 0 || buffers[j].size_bytes == 0) << i << " and " << j;
    }
  }
}

TEST(Planner, BuffersThatLiveTogetherDoNotOverlap) {
  Philox random(11);
  for (int round = 0; round < 50; ++round) {
    std::vector<BufferLife> buffers;
    int64_t sum = 0;
    for (int32_t i = 0; i < 60; ++i) {
      const auto first = static_cast<int32_t>(random.below(80));
      buffers.push_back({.size_bytes = static_cast<int64_t>(random.below(5000)),
                         .first = first,
                         .last = first + static_cast<int32_t>(random.below(8))});
      sum += buffers.back().size_bytes;
    }
    const MemoryPlan plan = plan_memory(buffers);
    expect_sound(buffers, plan);
    EXPECT_LT(plan.arena_bytes, sum / 2);
  }
}

TEST(Planner, ReachesTheLowerBoundOfAChain) {
  // Each buffer is read by the step that writes the next: two live at a time.
  std::vector<BufferLife> chain;
  for (int32_t i = 0; i < 10; ++i) chain.push_back({.size_bytes = 1024, .first = i, .last = i + 1});
  EXPECT_EQ(plan_memory(chain).arena_bytes, 2048);
}

TEST(Planner, ReusesTheGapThatALongLivedBufferLeaves) {
  const std::vector<BufferLife> buffers = {{.size_bytes = 4096, .first = 0, .last = 1},
                                           {.size_bytes = 128, .first = 0, .last = 9},
                                           {.size_bytes = 2048, .first = 2, .last = 3},
                                           {.size_bytes = 2048, .first = 2, .last = 3}};
  const MemoryPlan plan = plan_memory(buffers);
  expect_sound(buffers, plan);
  EXPECT_EQ(plan.arena_bytes, 4096 + 128);
}

TEST(Planner, NothingNeedsNothing) {
  EXPECT_EQ(plan_memory({}).arena_bytes, 0);
  const std::vector<BufferLife> empty = {{.size_bytes = 0, .first = 0, .last = 3}};
  EXPECT_EQ(plan_memory(empty).arena_bytes, 0);
}

TEST(Planner, RefusesSizesThatOverflow) {
  const std::vector<BufferLife> huge(4, {.size_bytes = INT64_MAX / 3, .first = 0, .last = 1});
  EXPECT_ANY_THROW(plan_memory(huge));
}

}  // namespace
}  // namespace fettle
