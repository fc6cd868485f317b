// Any bytes as a search space: refused as bad input, or read; then it is the same when written and read again, and what
// the samplers suggest lies in it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "search/sampler.h"
#include "search/training_space.h"

namespace {

constexpr size_t kMaxParameters = 16;
constexpr int64_t kTrials = 14;  // more than the random ones at the beginning

void require(bool condition) {
  if (!condition) std::abort();
}

void check_suggestions(const fettle::Space& space) {
  const std::vector<fettle::Goal> goals = {{"loss", false}};
  const auto sampler = fettle::make_sampler("tpe");
  std::vector<fettle::Trial> trials;
  for (int64_t number = 0; number < kTrials; ++number) {
    fettle::Trial trial;
    trial.number = number;
    trial.state = fettle::TrialState::kComplete;
    trial.parameters = sampler->suggest(space, {trials, goals}, 1, number);
    trial.values = {trial.parameters[0]};
    const fettle::Json json = fettle::values_to_json(space, trial.parameters);
    require(fettle::values_from_json(space, fettle::parse_json(json.dump(), "values"), "values") == trial.parameters);
    fettle::TrialSetup setup;
    fettle::apply_parameters(space, trial.parameters, setup);
    trials.push_back(std::move(trial));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const fettle::Json json = fettle::parse_json({reinterpret_cast<const char*>(data), size}, "input");
    const fettle::Space space = fettle::parse_space(json, fettle::distillation_tunables(), "input");
    const fettle::Json written = fettle::space_to_json(space);
    const fettle::Space again = fettle::parse_space(written, fettle::distillation_tunables(), "again");
    require(fettle::space_to_json(again) == written);
    if (space.size() <= kMaxParameters) check_suggestions(space);
  } catch (const fettle::Error& error) {
    require(error.code() == fettle::ErrorCode::kBadInput);
  }
  return 0;
}
