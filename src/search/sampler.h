// Samplers: which parameters the next trial gets.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "base/philox.h"
#include "search/trial.h"

namespace fettle {

// What a sampler looks at. Suggestions are functions of nothing else.
struct History {
  std::span<const Trial> trials;  // by number; running ones have parameters and perhaps intermediate values
  std::span<const Goal> goals;
};

class Sampler {
 public:
  virtual ~Sampler() = default;
  // Parameters for trial `number`. `seed` and `number` give the random numbers, so that a study that was interrupted
  // goes on as if it had not been.
  virtual ParameterValues suggest(const Space& space, const History& history, uint64_t seed, int64_t number) const = 0;
  virtual std::string_view name() const = 0;
};

// Uniform in the search space: by logarithm where a parameter asks for it. What was tried already is drawn again only
// if nothing else is found.
class RandomSampler : public Sampler {
 public:
  ParameterValues suggest(const Space& space, const History& history, uint64_t seed, int64_t number) const override;
  std::string_view name() const override { return "random"; }
};

// Trial k gets value k of the only parameter, counted from its low end: the seeds of one training, one after another.
class SequenceSampler : public Sampler {
 public:
  ParameterValues suggest(const Space& space, const History& history, uint64_t seed, int64_t number) const override;
  std::string_view name() const override { return "sequence"; }
};

// "tpe" (tpe.h) or "random"; kUsage for other names.
std::unique_ptr<Sampler> make_sampler(std::string_view name);

// The random numbers of one suggestion.
Philox suggestion_random(uint64_t seed, int64_t number);
// Whether a trial has these parameters.
bool was_tried(const History& history, const ParameterValues& values);

}  // namespace fettle
