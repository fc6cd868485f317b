#include "search/pruner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/error.h"

namespace fettle {
namespace {

std::optional<double> loss_at(const Trial& trial, int64_t step, const Goal& goal) {
  for (const Intermediate& value : trial.intermediates) {
    if (value.step == step && std::isfinite(value.value)) return loss_of(value.value, goal);
  }
  return {};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : 0.5 * (values[middle - 1] + values[middle]);
}

}  // namespace

bool MedianPruner::should_prune(const Trial& trial, std::span<const Trial> trials, const Goal& goal) const {
  if (trial.intermediates.empty()) return false;
  const Intermediate& last = trial.intermediates.back();
  if (!std::isfinite(last.value)) return true;
  if (last.step <= options_.n_warmup_steps) return false;
  int64_t n_complete = 0;
  std::vector<double> others;
  for (const Trial& other : trials) {
    if (other.state != TrialState::kComplete || other.number == trial.number) continue;
    ++n_complete;
    if (const auto loss = loss_at(other, last.step, goal)) others.push_back(*loss);
  }
  if (n_complete < options_.n_startup_trials || others.empty()) return false;
  double best = std::numeric_limits<double>::infinity();
  for (const Intermediate& value : trial.intermediates) best = std::min(best, loss_of(value.value, goal));
  return best > median(std::move(others));
}

bool HalvingPruner::should_prune(const Trial& trial, std::span<const Trial> trials, const Goal& goal) const {
  if (trial.intermediates.empty()) return false;
  const Intermediate& last = trial.intermediates.back();
  if (!std::isfinite(last.value)) return true;
  int64_t rung = options_.min_resource;
  while (rung < last.step) rung *= options_.reduction;
  if (rung != last.step) return false;
  const double loss = loss_of(last.value, goal);
  int64_t n_at_rung = 1;
  int64_t n_better = 0;
  for (const Trial& other : trials) {
    if (other.number == trial.number) continue;
    const auto theirs = loss_at(other, rung, goal);
    if (!theirs) continue;
    ++n_at_rung;
    n_better += *theirs < loss;
  }
  return n_better >= std::max<int64_t>(1, n_at_rung / options_.reduction);
}

std::unique_ptr<Pruner> make_pruner(std::string_view name) {
  if (name == "none") return std::make_unique<NoPruner>();
  if (name == "median") return std::make_unique<MedianPruner>();
  if (name == "halving") return std::make_unique<HalvingPruner>();
  usage_error("pruner", "'" + std::string(name) + "' is none", "median, halving, none");
}

}  // namespace fettle
