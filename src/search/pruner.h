// Pruners: whether a running trial is worth its next epoch. For one goal.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "search/trial.h"

namespace fettle {

class Pruner {
 public:
  virtual ~Pruner() = default;
  // Whether `trial`, which has just reported its last intermediate value, should end. `trials` are all of the study
  // (the trial itself may be among them). A value that is not finite always ends it.
  virtual bool should_prune(const Trial& trial, std::span<const Trial> trials, const Goal& goal) const = 0;
  virtual std::string_view name() const = 0;
};

class NoPruner : public Pruner {
 public:
  bool should_prune(const Trial&, std::span<const Trial>, const Goal&) const override { return false; }
  std::string_view name() const override { return "none"; }
};

// Ends a trial whose best value so far is worse than the median, over the complete trials that got as far, of their
// values at the same step.
class MedianPruner : public Pruner {
 public:
  struct Options {
    int64_t n_startup_trials = 5;  // complete trials before the first is ended
    int64_t n_warmup_steps = 1;    // steps that every trial is given
  };
  explicit MedianPruner() = default;
  explicit MedianPruner(const Options& options) : options_(options) {}
  bool should_prune(const Trial& trial, std::span<const Trial> trials, const Goal& goal) const override;
  std::string_view name() const override { return "median"; }

 private:
  Options options_;
};

// Asynchronous successive halving (Li et al. 2020): rungs are at min_resource · reduction^k steps, k = 0, 1, …; a trial
// that comes to a rung goes on if it is among the best 1 / reduction of all that came there, itself included.
class HalvingPruner : public Pruner {
 public:
  struct Options {
    int64_t min_resource = 1;
    int64_t reduction = 3;
  };
  explicit HalvingPruner() = default;
  explicit HalvingPruner(const Options& options) : options_(options) {}
  bool should_prune(const Trial& trial, std::span<const Trial> trials, const Goal& goal) const override;
  std::string_view name() const override { return "halving"; }

 private:
  Options options_;
};

// "median", "halving" or "none"; kUsage for other names.
std::unique_ptr<Pruner> make_pruner(std::string_view name);

}  // namespace fettle
