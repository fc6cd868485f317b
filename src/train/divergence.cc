#include "train/divergence.h"

#include <algorithm>
#include <cmath>

namespace fettle {
namespace {

constexpr double kMemory = 0.95;
constexpr double kGrowth = 3;
constexpr double kShareOfStart = 0.9;

}  // namespace

double DivergenceWatch::mean(const DivergenceState& state) {
  return state.mean / (1 - std::pow(kMemory, static_cast<double>(state.steps)));
}

double DivergenceWatch::bound(const DivergenceState& state) const {
  return std::max({kGrowth * state.best, kShareOfStart * state.start, kShareOfStart * chance_loss_});
}

bool DivergenceWatch::add(double loss, DivergenceState& state) const {
  ++state.steps;
  state.mean = kMemory * state.mean + (1 - kMemory) * loss;
  if (state.steps <= kDivergenceStart) {
    state.start += (loss - state.start) / static_cast<double>(state.steps);
    return false;
  }
  const double now = mean(state);
  state.best = state.best < 0 ? now : std::min(state.best, now);
  state.steps_above = now > bound(state) ? state.steps_above + 1 : 0;
  return state.steps_above >= kDivergencePatience;
}

}  // namespace fettle
