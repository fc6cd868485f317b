#include "search/tpe.h"

#include <algorithm>
#include <cmath>

#include "search/parzen.h"

namespace fettle {
namespace {

std::vector<size_t> in_state(const History& history, TrialState state) {
  std::vector<size_t> indices;
  for (size_t i = 0; i < history.trials.size(); ++i) {
    if (history.trials[i].state == state) indices.push_back(i);
  }
  return indices;
}

std::vector<size_t> rank_by_fronts(const History& history) {
  const std::vector<size_t> complete = in_state(history, TrialState::kComplete);
  std::vector<std::vector<double>> losses;
  for (size_t i : complete) losses.push_back(losses_of(history.trials[i], history.goals));
  const std::vector<int64_t> ranks = front_ranks(losses);
  std::vector<size_t> ranked;
  for (int64_t rank = 0; ranked.size() < complete.size(); ++rank) {
    std::vector<size_t> front;
    std::vector<std::vector<double>> front_losses;
    for (size_t i = 0; i < complete.size(); ++i) {
      if (ranks[i] != rank) continue;
      front.push_back(complete[i]);
      front_losses.push_back(losses[i]);
    }
    const std::vector<double> room = crowding_distances(front_losses);
    std::vector<size_t> order(front.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return room[a] > room[b]; });
    for (size_t i : order) ranked.push_back(front[i]);
  }
  return ranked;
}

}  // namespace

std::vector<size_t> rank_trials(const History& history) {
  if (history.goals.size() > 1) return rank_by_fronts(history);
  const Goal& goal = history.goals[0];
  std::vector<size_t> ranked = in_state(history, TrialState::kComplete);
  std::stable_sort(ranked.begin(), ranked.end(), [&](size_t a, size_t b) {
    return loss_of(history.trials[a].values[0], goal) < loss_of(history.trials[b].values[0], goal);
  });
  std::vector<size_t> pruned = in_state(history, TrialState::kPruned);
  std::erase_if(pruned, [&](size_t i) { return history.trials[i].intermediates.empty(); });
  std::stable_sort(pruned.begin(), pruned.end(), [&](size_t a, size_t b) {
    const Intermediate& left = history.trials[a].intermediates.back();
    const Intermediate& right = history.trials[b].intermediates.back();
    if (left.step != right.step) return left.step > right.step;
    return loss_of(left.value, goal) < loss_of(right.value, goal);
  });
  ranked.insert(ranked.end(), pruned.begin(), pruned.end());
  return ranked;
}

ParameterValues TpeSampler::suggest(const Space& space, const History& history, uint64_t seed, int64_t number) const {
  const std::vector<size_t> ranked = rank_trials(history);
  const auto n_ranked = static_cast<int64_t>(ranked.size());
  if (n_ranked < options_.n_startup) return RandomSampler().suggest(space, history, seed, number);

  const auto n_wanted = static_cast<int64_t>(std::ceil(options_.good_share * static_cast<double>(n_ranked)));
  const auto n_good = static_cast<size_t>(std::min(n_wanted, options_.most_good));
  std::vector<bool> is_good(history.trials.size(), false);
  for (size_t i = 0; i < n_good; ++i) is_good[ranked[i]] = true;
  std::vector<Observation> good;
  std::vector<Observation> others;
  for (size_t i = 0; i < history.trials.size(); ++i) {
    (is_good[i] ? good : others).push_back(&history.trials[i].parameters);
  }

  const double narrowest = std::max(options_.narrowest, 1 / (1 + static_cast<double>(n_ranked)));
  const ParzenEstimator l(space, good, narrowest);
  const ParzenEstimator g(space, others, narrowest);
  Philox random = suggestion_random(seed, number);
  ParameterValues best;
  double best_ratio = 0;
  for (int64_t i = 0; i < options_.n_candidates; ++i) {
    ParameterValues candidate = l.sample(random);
    if (was_tried(history, candidate)) continue;
    const double ratio = l.log_density(candidate) - g.log_density(candidate);
    if (!best.empty() && ratio <= best_ratio) continue;
    best = std::move(candidate);
    best_ratio = ratio;
  }
  return best.empty() ? RandomSampler().suggest(space, history, seed, number) : best;
}

}  // namespace fettle
