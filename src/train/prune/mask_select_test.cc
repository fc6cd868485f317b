#include "train/prune/mask_select.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "base/philox.h"

namespace fettle {
namespace {

TEST(CubicSchedule, HasTheGoldenPoints) {
  const CubicSchedule schedule{.initial = 0, .final = 0.9, .begin = 0, .end = 100};
  EXPECT_DOUBLE_EQ(schedule.at(0), 0);
  EXPECT_DOUBLE_EQ(schedule.at(50), 0.7875);
  EXPECT_DOUBLE_EQ(schedule.at(100), 0.9);
}

TEST(CubicSchedule, WaitsBeforeAndStaysBehind) {
  const CubicSchedule schedule{.initial = 0.1, .final = 0.9, .begin = 20, .end = 40};
  EXPECT_DOUBLE_EQ(schedule.at(0), 0.1);
  EXPECT_DOUBLE_EQ(schedule.at(20), 0.1);
  EXPECT_DOUBLE_EQ(schedule.at(30), 0.9 - 0.8 / 8);
  EXPECT_DOUBLE_EQ(schedule.at(1000), 0.9);
  const CubicSchedule at_once{.initial = 0, .final = 0.5, .begin = 0, .end = 0};
  EXPECT_DOUBLE_EQ(at_once.at(0), 0.5);
}

std::vector<float> random_scores(size_t n, uint64_t seed) {
  Philox random(seed);
  std::vector<float> scores(n);
  for (float& score : scores) score = random.normal();
  return scores;
}

// Ranks by sorting; of equal scores the first are better.
std::vector<float> best_by_sorting(const std::vector<float>& scores, int64_t n_keep) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<float> mask(scores.size(), 0);
  for (int64_t i = 0; i < n_keep; ++i) mask[order[static_cast<size_t>(i)]] = 1;
  return mask;
}

class MaskSelect : public ::testing::Test {
 protected:
  // Cuts `scores` at the given sizes and joins the masks.
  std::vector<float> masks(const std::vector<float>& scores, const std::vector<size_t>& sizes,
                           const std::function<void(MaskSelector&, std::span<const ScoredPart>)>& select,
                           int n_threads = 1) {
    ThreadPool pool(n_threads);
    MaskSelector selector(pool);
    std::vector<float> mask(scores.size(), -1);
    std::vector<ScoredPart> parts;
    size_t at = 0;
    for (const size_t size : sizes) {
      parts.push_back({std::span(scores).subspan(at, size), std::span(mask).subspan(at, size)});
      at += size;
    }
    select(selector, parts);
    return mask;
  }
};

TEST_F(MaskSelect, KeepsTheBestOfAllAsSortingDoes) {
  std::vector<float> scores = random_scores(5000, 1);
  scores[7] = scores[4000] = scores[1234];
  for (const int64_t n_keep : {0, 1, 17, 2500, 4999, 5000}) {
    const auto select = [n_keep](MaskSelector& selector, auto parts) { selector.keep_of_all(parts, n_keep); };
    const std::vector<float> expected = best_by_sorting(scores, n_keep);
    EXPECT_EQ(masks(scores, {5000}, select), expected) << n_keep;
    EXPECT_EQ(masks(scores, {1, 2999, 2000}, select), expected) << n_keep;
    EXPECT_EQ(masks(scores, {1, 2999, 2000}, select, 3), expected) << n_keep;
  }
}

TEST_F(MaskSelect, KeepsAsManyInEachPart) {
  const std::vector<float> scores = random_scores(300, 2);
  const std::vector<int64_t> n_keep{10, 150};
  const std::vector<float> mask = masks(
      scores, {100, 200}, [&](MaskSelector& selector, auto parts) { selector.keep_in_each(parts, n_keep); }, 2);
  const std::vector<float> first = best_by_sorting({scores.begin(), scores.begin() + 100}, 10);
  const std::vector<float> second = best_by_sorting({scores.begin() + 100, scores.end()}, 150);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), mask.begin()));
  EXPECT_TRUE(std::equal(second.begin(), second.end(), mask.begin() + 100));
}

// All scores are equal before anything is learned; both zeros are one.
TEST_F(MaskSelect, OfEqualScoresTheFirstStay) {
  const std::vector<float> scores{0.0f, -0.0f, 0.0f, -0.0f, 0.0f, -1.0f};
  const auto select = [](MaskSelector& selector, auto parts) { selector.keep_of_all(parts, 3); };
  EXPECT_EQ(masks(scores, {2, 4}, select), (std::vector<float>{1, 1, 1, 0, 0, 0}));
}

TEST_F(MaskSelect, TwoOfFourKeepsTheBetterTwo) {
  const std::vector<float> scores{4, 1, 3, 2, 1, 1, 1, 1, -1, -2, 0, -3};
  const std::vector<int64_t> all{3};
  const auto select = [&](MaskSelector& selector, auto parts) { selector.keep_two_of_four(parts, all); };
  EXPECT_EQ(masks(scores, {12}, select), (std::vector<float>{1, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0}));
}

// What the groups lose is 3, 2 and -5.
TEST_F(MaskSelect, TwoOfFourBeginsWhereLeastIsLost) {
  const std::vector<float> scores{4, 1, 3, 2, 1, 1, 1, 1, -1, -2, 0, -3};
  const std::vector<int64_t> one{1};
  const auto of_all = [&](MaskSelector& selector, auto parts) { selector.keep_two_of_four(parts, one); };
  EXPECT_EQ(masks(scores, {8, 4}, of_all), (std::vector<float>{1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 0}));
  const std::vector<int64_t> each{1, 0};
  const auto in_each = [&](MaskSelector& selector, auto parts) { selector.keep_two_of_four(parts, each); };
  EXPECT_EQ(masks(scores, {8, 4}, in_each), (std::vector<float>{1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1}));
}

}  // namespace
}  // namespace fettle
