#include "compress/factorize/ranks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fettle {
namespace {

std::vector<double> falling(int n, double rate) {
  std::vector<double> energies;
  for (int i = 0; i < n; ++i) energies.push_back(std::exp(-rate * i));
  return energies;
}

int64_t n_numbers(const std::vector<RankCandidate>& matrices, const std::vector<int64_t>& ranks) {
  int64_t n = 0;
  for (size_t i = 0; i < ranks.size(); ++i) {
    const Shape& shape = matrices[i].shape;
    n += ranks[i] == 0 ? shape[0] * shape[1] : ranks[i] * (shape[0] + shape[1]);
  }
  return n;
}

TEST(Ranks, LargestUsefulIsTheLastThatGains) {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{768, 768}, {3072, 768}, {7, 5}, {1, 1}, {2, 3}}) {
    const int64_t rank = largest_useful_rank(rows, columns);
    EXPECT_LT(rank * (rows + columns), rows * columns);
    EXPECT_GE((rank + 1) * (rows + columns), rows * columns);
  }
  EXPECT_EQ(largest_useful_rank(768, 768), 383);
}

TEST(Ranks, GoWhereTheEnergyIs) {
  const std::vector<double> steep = falling(64, 0.5);
  const std::vector<double> flat = falling(64, 0.02);
  const std::vector<RankCandidate> matrices = {{{64, 64}, &steep}, {{64, 256}, &steep}, {{64, 64}, &flat}};
  const int64_t all = 64 * 64 * 2 + 64 * 256;
  int64_t last = 0;
  for (const double kept : {0.1, 0.3, 0.5, 0.7, 0.9, 1.0}) {
    const auto budget = static_cast<int64_t>(kept * static_cast<double>(all));
    const std::vector<int64_t> ranks = choose_ranks(matrices, budget, 1);
    const int64_t n = n_numbers(matrices, ranks);
    EXPECT_LE(n, budget);
    EXPECT_GE(n, last);
    last = n;
    if (kept > 0.2 && ranks[0] > 0) {
      EXPECT_TRUE(ranks[2] == 0 || ranks[2] > ranks[0]);
    }
  }
  EXPECT_EQ(last, all) << "with room for all, all stay whole";
}

// Every choice of ranks for two small matrices, by brute force. Leaving a matrix whole is a jump that greedy steps see
// late; even so none keeps much more energy for the same numbers.
TEST(Ranks, AreNearlyTheBestThereIs) {
  const std::vector<double> a = falling(12, 0.4);
  const std::vector<double> b = falling(12, 0.1);
  const std::vector<RankCandidate> matrices = {{{12, 20}, &a}, {{12, 12}, &b}};
  const auto kept = [](const std::vector<double>& energies, int64_t rank) {
    double all = 0;
    double first = 0;
    for (size_t i = 0; i < energies.size(); ++i) {
      all += energies[i];
      if (rank == 0 || static_cast<int64_t>(i) < rank) first += energies[i];
    }
    return first / all;
  };
  for (const int64_t budget : {80, 130, 200, 260}) {
    double best = 0;
    for (int64_t i = 0; i <= 7; ++i) {
      for (int64_t j = 0; j <= 5; ++j) {
        if (n_numbers(matrices, {i, j}) <= budget) best = std::max(best, kept(a, i) + kept(b, j));
      }
    }
    const std::vector<int64_t> ranks = choose_ranks(matrices, budget, 1);
    EXPECT_GT(kept(a, ranks[0]) + kept(b, ranks[1]), 0.85 * best) << budget;
  }
}

TEST(Ranks, RefuseBudgetsThatNothingMeets) {
  const std::vector<double> energies = falling(8, 0.1);
  const std::vector<RankCandidate> matrices = {{{8, 8}, &energies}};
  EXPECT_THROW(choose_ranks(matrices, 15, 1), Error);
  EXPECT_EQ(choose_ranks(matrices, 16, 1), (std::vector<int64_t>{1}));
}

}  // namespace
}  // namespace fettle
