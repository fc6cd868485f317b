// A trial: one choice of parameters and what came of it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "search/space.h"

namespace fettle {

enum class TrialState : uint8_t {
  kRunning,
  kComplete,
  kPruned,  // ended early because it did not promise enough; it has intermediate values only
  kFailed   // could not be evaluated (a loss that is not finite)
};

std::string_view trial_state_name(TrialState state);

struct Intermediate {
  int64_t step = 0;  // epochs done, from 1
  double value = 0;  // of the first goal
};

struct Trial {
  int64_t number = 0;  // from 0
  TrialState state = TrialState::kRunning;
  ParameterValues parameters;
  std::vector<double> values;               // one for each goal, of complete trials
  std::vector<Intermediate> intermediates;  // by step
  bool prune_decided = false;
  double seconds = 0;
  std::string detail;  // why it failed
};

struct Goal {
  std::string name;
  bool maximize = true;

  bool operator==(const Goal&) const = default;
};

// Values as losses: the smaller the better.
double loss_of(double value, const Goal& goal);
std::vector<double> losses_of(const Trial& trial, std::span<const Goal> goals);

// No worse in any and better in one; losses.
bool dominates(std::span<const double> a, std::span<const double> b);
// For each point its front: 0 for those that none dominates, 1 for those that only these dominate, and so on
// (Deb et al. 2002).
std::vector<int64_t> front_ranks(std::span<const std::vector<double>> losses);
// For each point of one front how far its neighbours are, summed over the goals, each scaled to its range; infinite
// at the ends (Deb et al. 2002).
std::vector<double> crowding_distances(std::span<const std::vector<double>> losses);

// Indices into `trials` of the complete ones that no other dominates, by the first goal, best first. Of equal ones
// the first in number is taken. With one goal it is the best trial alone; empty when none is complete.
std::vector<size_t> pareto_front(std::span<const Trial> trials, std::span<const Goal> goals);

}  // namespace fettle
