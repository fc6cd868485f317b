#include "search/trial.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/philox.h"

namespace fettle {
namespace {

using Losses = std::vector<std::vector<double>>;

TEST(Fronts, RanksByHand) {
  const Losses losses = {{1, 4}, {2, 2}, {4, 1}, {2, 4}, {3, 3}, {4, 4}, {1, 4}};
  EXPECT_EQ(front_ranks(losses), (std::vector<int64_t>{0, 0, 0, 1, 1, 2, 0}));
}

// The definition, front by front.
TEST(Fronts, RanksAgreeWithPeeling) {
  Philox random(3);
  Losses losses;
  for (int i = 0; i < 60; ++i) {
    losses.push_back({static_cast<double>(random.below(9)), static_cast<double>(random.below(9)),
                      static_cast<double>(random.below(9))});
  }
  const std::vector<int64_t> ranks = front_ranks(losses);
  for (size_t i = 0; i < losses.size(); ++i) {
    int64_t worst = -1;
    for (size_t j = 0; j < losses.size(); ++j) {
      if (dominates(losses[j], losses[i])) worst = std::max(worst, ranks[j]);
    }
    EXPECT_EQ(ranks[i], worst + 1);
  }
}

TEST(Fronts, CrowdingByHand) {
  const std::vector<double> room = crowding_distances(Losses{{0, 10}, {1, 6}, {4, 5}, {10, 0}});
  EXPECT_TRUE(std::isinf(room[0]));
  EXPECT_TRUE(std::isinf(room[3]));
  EXPECT_DOUBLE_EQ(room[1], 0.4 + 0.5);
  EXPECT_DOUBLE_EQ(room[2], 0.9 + 0.6);
}

Trial complete(int64_t number, std::vector<double> values) {
  Trial trial;
  trial.number = number;
  trial.state = TrialState::kComplete;
  trial.values = std::move(values);
  return trial;
}

TEST(Fronts, TheBestOfOneGoalIsTheFirstOfEqualOnes) {
  std::vector<Trial> trials = {complete(0, {0.5}), complete(1, {0.9}), complete(2, {0.9}), complete(3, {0.1})};
  const std::vector<Goal> most = {{"accuracy", true}};
  const std::vector<Goal> least = {{"loss", false}};
  EXPECT_EQ(pareto_front(trials, most), std::vector<size_t>{1});
  EXPECT_EQ(pareto_front(trials, least), std::vector<size_t>{3});
  trials[1].state = TrialState::kPruned;
  EXPECT_EQ(pareto_front(trials, most), std::vector<size_t>{2});
  EXPECT_TRUE(pareto_front({}, most).empty());
}

TEST(Fronts, ParetoFrontOfTwoGoalsBeginsWithTheFirst) {
  const std::vector<Goal> goals = {{"accuracy", true}, {"size_mb", false}};
  const std::vector<Trial> trials = {complete(0, {0.8, 5}), complete(1, {0.9, 10}), complete(2, {0.85, 10}),
                                     complete(3, {0.8, 4}), complete(4, {0.9, 10})};
  EXPECT_EQ(pareto_front(trials, goals), (std::vector<size_t>{1, 3}));
}

}  // namespace
}  // namespace fettle
