#include "search/trial.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace fettle {

std::string_view trial_state_name(TrialState state) {
  switch (state) {
    case TrialState::kRunning:
      return "running";
    case TrialState::kComplete:
      return "complete";
    case TrialState::kPruned:
      return "pruned";
    case TrialState::kFailed:
      return "failed";
  }
  return "?";
}

double loss_of(double value, const Goal& goal) {
  return goal.maximize ? -value : value;
}

std::vector<double> losses_of(const Trial& trial, std::span<const Goal> goals) {
  std::vector<double> losses;
  for (size_t i = 0; i < goals.size(); ++i) losses.push_back(loss_of(trial.values[i], goals[i]));
  return losses;
}

bool dominates(std::span<const double> a, std::span<const double> b) {
  bool better = false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] > b[i]) return false;
    better |= a[i] < b[i];
  }
  return better;
}

std::vector<int64_t> front_ranks(std::span<const std::vector<double>> losses) {
  const size_t n = losses.size();
  std::vector<int64_t> n_dominating(n, 0);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) n_dominating[i] += dominates(losses[j], losses[i]);
  }
  std::vector<int64_t> ranks(n, -1);
  size_t n_ranked = 0;
  for (int64_t rank = 0; n_ranked < n; ++rank) {
    std::vector<size_t> front;
    for (size_t i = 0; i < n; ++i) {
      if (ranks[i] < 0 && n_dominating[i] == 0) front.push_back(i);
    }
    for (size_t i : front) ranks[i] = rank;
    for (size_t i : front) {
      for (size_t j = 0; j < n; ++j) n_dominating[j] -= dominates(losses[i], losses[j]);
    }
    n_ranked += front.size();
  }
  return ranks;
}

std::vector<double> crowding_distances(std::span<const std::vector<double>> losses) {
  const size_t n = losses.size();
  std::vector<double> distances(n, 0);
  if (n == 0) return distances;
  std::vector<size_t> order(n);
  for (size_t m = 0; m < losses[0].size(); ++m) {
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return losses[a][m] < losses[b][m]; });
    const double range = losses[order[n - 1]][m] - losses[order[0]][m];
    distances[order[0]] = distances[order[n - 1]] = std::numeric_limits<double>::infinity();
    for (size_t i = 1; i + 1 < n && range > 0; ++i) {
      distances[order[i]] += (losses[order[i + 1]][m] - losses[order[i - 1]][m]) / range;
    }
  }
  return distances;
}

std::vector<size_t> pareto_front(std::span<const Trial> trials, std::span<const Goal> goals) {
  std::vector<size_t> complete;
  std::vector<std::vector<double>> losses;
  for (size_t i = 0; i < trials.size(); ++i) {
    if (trials[i].state != TrialState::kComplete) continue;
    complete.push_back(i);
    losses.push_back(losses_of(trials[i], goals));
  }
  std::vector<size_t> front;
  for (size_t i = 0; i < complete.size(); ++i) {
    bool is_on_front = true;
    for (size_t j = 0; j < complete.size() && is_on_front; ++j) {
      const bool earlier_twin = j < i && losses[j] == losses[i];
      is_on_front = !earlier_twin && !dominates(losses[j], losses[i]);
    }
    if (is_on_front) front.push_back(i);
  }
  std::stable_sort(front.begin(), front.end(), [&](size_t a, size_t b) { return losses[a] < losses[b]; });
  for (size_t& index : front) index = complete[index];
  return front;
}

}  // namespace fettle
