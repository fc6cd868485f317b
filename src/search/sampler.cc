#include "search/sampler.h"

#include <algorithm>

#include "base/error.h"
#include "search/tpe.h"

namespace fettle {
namespace {

constexpr uint64_t kSuggestionStream = 0x53454152ull << 32;
constexpr int kMaxDraws = 64;

double random_value(const Parameter& parameter, Philox& random) {
  if (parameter.kind == ParameterKind::kCategorical) {
    return static_cast<double>(random.below(static_cast<uint64_t>(parameter.n_choices())));
  }
  const double low = search_low(parameter);
  return from_search(parameter, low + random.uniform_double() * (search_high(parameter) - low));
}

}  // namespace

Philox suggestion_random(uint64_t seed, int64_t number) {
  return Philox(seed, kSuggestionStream + static_cast<uint64_t>(number));
}

bool was_tried(const History& history, const ParameterValues& values) {
  return std::any_of(history.trials.begin(), history.trials.end(),
                     [&](const Trial& trial) { return trial.parameters == values; });
}

ParameterValues RandomSampler::suggest(const Space& space, const History& history, uint64_t seed,
                                       int64_t number) const {
  Philox random = suggestion_random(seed, number);
  ParameterValues values;
  for (int i = 0; i < kMaxDraws; ++i) {
    values.clear();
    for (const Parameter& parameter : space.parameters) values.push_back(random_value(parameter, random));
    if (!was_tried(history, values)) break;
  }
  return values;
}

ParameterValues SequenceSampler::suggest(const Space& space, const History&, uint64_t, int64_t number) const {
  return {space.parameters[0].low + static_cast<double>(number)};
}

std::unique_ptr<Sampler> make_sampler(std::string_view name) {
  if (name == "random") return std::make_unique<RandomSampler>();
  if (name == "tpe") return std::make_unique<TpeSampler>();
  usage_error("sampler", "'" + std::string(name) + "' is none", "tpe, random");
}

}  // namespace fettle
