#include "search/pruner.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"

namespace fettle {
namespace {

const Goal kMost{"accuracy", true};

Trial with_values(int64_t number, TrialState state, const std::vector<double>& values) {
  Trial trial;
  trial.number = number;
  trial.state = state;
  for (size_t i = 0; i < values.size(); ++i) trial.intermediates.push_back({static_cast<int64_t>(i) + 1, values[i]});
  return trial;
}

std::vector<Trial> five_complete() {
  std::vector<Trial> trials;
  for (int64_t i = 0; i < 5; ++i) {
    const double x = 0.1 * static_cast<double>(i);
    trials.push_back(with_values(i, TrialState::kComplete, {0.3 + x, 0.4 + x, 0.5 + x}));
  }
  return trials;  // medians 0.5, 0.6, 0.7
}

TEST(MedianPruner, EndsWhatIsBelowTheMedianOfItsStep) {
  const auto pruner = make_pruner("median");
  const std::vector<Trial> trials = five_complete();
  const auto decide = [&](const std::vector<double>& values) {
    return pruner->should_prune(with_values(5, TrialState::kRunning, values), trials, kMost);
  };
  EXPECT_FALSE(decide({0.0})) << "warm-up";
  EXPECT_TRUE(decide({0.0, 0.59}));
  EXPECT_FALSE(decide({0.0, 0.61}));
  EXPECT_FALSE(decide({0.65, 0.1})) << "its best so far counts";
  EXPECT_TRUE(decide({0.65, 0.1, 0.1}));
  EXPECT_FALSE(decide({0, 0, 0, 0})) << "nobody else got so far";
  EXPECT_FALSE(decide({}));
}

TEST(MedianPruner, WaitsForFiveCompleteTrials) {
  std::vector<Trial> trials = five_complete();
  trials[2].state = TrialState::kPruned;
  EXPECT_FALSE(make_pruner("median")->should_prune(with_values(5, TrialState::kRunning, {0, 0}), trials, kMost));
}

TEST(MedianPruner, SmallerIsBetterWhenTheGoalSaysSo) {
  const std::vector<Trial> trials = five_complete();
  const Goal least{"loss", false};
  const auto pruner = make_pruner("median");
  EXPECT_TRUE(pruner->should_prune(with_values(5, TrialState::kRunning, {0.9, 0.61}), trials, least));
  EXPECT_FALSE(pruner->should_prune(with_values(5, TrialState::kRunning, {0.9, 0.59}), trials, least));
}

TEST(Pruners, EndWhatIsNotFinite) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const char* name : {"median", "halving"}) {
    EXPECT_TRUE(make_pruner(name)->should_prune(with_values(0, TrialState::kRunning, {nan}), {}, kMost)) << name;
  }
  EXPECT_FALSE(make_pruner("none")->should_prune(with_values(0, TrialState::kRunning, {0}), five_complete(), kMost));
  EXPECT_THROW(make_pruner("mean"), Error);
}

// Rungs 1, 3, 9; the best third goes on.
TEST(HalvingPruner, LetsTheBestThirdOfARungGoOn) {
  const auto pruner = make_pruner("halving");
  std::vector<Trial> trials;
  const auto decide = [&](const std::vector<double>& values) {
    return pruner->should_prune(with_values(100, TrialState::kRunning, values), trials, kMost);
  };
  EXPECT_FALSE(decide({0.1})) << "the first at a rung is its best";
  for (int64_t i = 0; i < 5; ++i) {
    trials.push_back(
        with_values(i, i % 2 == 0 ? TrialState::kPruned : TrialState::kRunning, {0.1 * static_cast<double>(i + 1)}));
  }
  EXPECT_FALSE(decide({0.45})) << "second of six";
  EXPECT_TRUE(decide({0.35})) << "third of six";
  EXPECT_FALSE(decide({0.35, 0.0})) << "no rung";
  EXPECT_FALSE(decide({0.35, 0.0, 0.0})) << "alone at the next rung";
  EXPECT_FALSE(decide({}));
}

}  // namespace
}  // namespace fettle
