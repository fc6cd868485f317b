#include "compress/factorize/ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <queue>

#include "base/error.h"

namespace fettle {
namespace {

constexpr const char* kWhere = "--target";

class Greedy {
 public:
  Greedy(std::span<const RankCandidate> matrices, int64_t budget, int64_t step)
      : matrices_(matrices), step_(step), left_(budget), ranks_(matrices.size(), 0), is_whole_(matrices.size(), false) {
    for (const RankCandidate& matrix : matrices) {
      totals_.push_back(std::accumulate(matrix.energies->begin(), matrix.energies->end(), 0.0));
    }
  }

  std::vector<int64_t> run() {
    for (size_t i = 0; i < matrices_.size(); ++i) {
      left_ -= next(i).cost;
      take(i);
    }
    if (left_ < 0) {
      usage_error(kWhere,
                  fmt::format("removes more than factors can: even the lowest ranks have {} numbers too many", -left_));
    }
    std::priority_queue<Next> queue;
    for (size_t i = 0; i < matrices_.size(); ++i) push(queue, i);
    while (!queue.empty()) {
      const Next best = queue.top();
      queue.pop();
      if (best.cost > left_) continue;
      left_ -= best.cost;
      take(best.matrix);
      push(queue, best.matrix);
    }
    for (size_t i = 0; i < ranks_.size(); ++i) {
      if (is_whole_[i]) ranks_[i] = 0;
    }
    return ranks_;
  }

 private:
  struct Next {
    double gain = 0;  // share of the energy for each number
    size_t matrix = 0;
    int64_t cost = 0;
    bool operator<(const Next& other) const { return gain != other.gain ? gain < other.gain : matrix > other.matrix; }
  };

  int64_t sides(size_t i) const { return matrices_[i].shape[0] + matrices_[i].shape[1]; }
  int64_t whole(size_t i) const { return matrices_[i].shape[0] * matrices_[i].shape[1]; }
  // Small matrices have few useful ranks.
  int64_t step(size_t i) const {
    const Shape& shape = matrices_[i].shape;
    return std::clamp<int64_t>(largest_useful_rank(shape[0], shape[1]) / 8, 1, step_);
  }
  // One term first, so that small budgets can be met, then full steps.
  int64_t goal(size_t i) const { return ranks_[i] == 0 ? 1 : (ranks_[i] / step(i) + 1) * step(i); }
  bool becomes_whole(size_t i) const { return goal(i) * sides(i) >= whole(i); }

  Next next(size_t i) const {
    const std::vector<double>& energies = *matrices_[i].energies;
    const bool to_whole = becomes_whole(i);
    const auto begin = energies.begin() + ranks_[i];
    const auto end = to_whole ? energies.end() : energies.begin() + goal(i);
    const int64_t cost = to_whole ? whole(i) - ranks_[i] * sides(i) : (goal(i) - ranks_[i]) * sides(i);
    const double energy = std::accumulate(begin, end, 0.0);
    const double share = totals_[i] > 0 ? energy / totals_[i] : 0;
    return {.gain = share / static_cast<double>(std::max<int64_t>(1, cost)), .matrix = i, .cost = cost};
  }

  void take(size_t i) {
    is_whole_[i] = becomes_whole(i);
    ranks_[i] = goal(i);
  }

  void push(std::priority_queue<Next>& queue, size_t i) const {
    if (!is_whole_[i]) queue.push(next(i));
  }

  std::span<const RankCandidate> matrices_;
  int64_t step_;
  int64_t left_;
  std::vector<int64_t> ranks_;
  std::vector<bool> is_whole_;
  std::vector<double> totals_;
};

}  // namespace

int64_t largest_useful_rank(int64_t rows, int64_t columns) {
  return (rows * columns - 1) / (rows + columns);
}

std::vector<int64_t> choose_ranks(std::span<const RankCandidate> matrices, int64_t budget, int64_t step) {
  return Greedy(matrices, budget, step).run();
}

}  // namespace fettle
