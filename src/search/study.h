// A study: trials, one after another, each with the parameters that a sampler draws from the results of those before.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "search/pruner.h"
#include "search/sampler.h"
#include "search/study_file.h"

namespace fettle {

struct TrialOutcome {
  std::vector<double> values;  // one for each goal; one that is not finite makes the trial a failed one
  bool pruned = false;
  double seconds = 0;
};

// Called after each step of a trial with the steps done and the first goal's value there; false: it should end.
// `is_last`: the trial is over anyway, so that it cannot be pruned any more.
using ReportStep = std::function<bool(int64_t step, double value, bool is_last)>;

struct StudyWork {
  // Evaluates a trial. `was_begun`: another process left it unfinished. An Error of kFailed makes it a failed trial;
  // any other gives the trial back, unfinished, and ends the study's work here.
  std::function<TrialOutcome(const Trial& trial, bool was_begun, const ReportStep& report)> run;
  // Keeps what a trial made that is on the front (the best) of all so far. Called before the study learns that it is
  // complete, so that the best is always there. May be empty.
  std::function<void(const Trial& trial)> keep;
  // Called after a trial is finished, with all trials and the indices of those on the front. May be empty.
  std::function<void(const Trial& trial, std::span<const Trial> trials, std::span<const size_t> front)> finished;
};

class Study {
 public:
  // `pruner` must be none when there are several goals (kUsage).
  Study(const std::filesystem::path& path, StudyKey key, std::shared_ptr<const Sampler> sampler,
        std::shared_ptr<const Pruner> pruner);

  // Works until the study has `n_trials` finished trials, counting those it had; other processes may do the same. Error
  // kInterrupted on Ctrl-C; then the running trial is given back.
  void optimize(int64_t n_trials, const StudyWork& work);

  std::vector<Trial> trials() const { return file_.trials(); }
  const StudyKey& key() const { return file_.key(); }

 private:
  void evaluate(Trial trial, bool was_begun, const StudyWork& work);
  bool is_on_front(const Trial& trial) const;

  StudyFile file_;
  std::shared_ptr<const Sampler> sampler_;
  std::shared_ptr<const Pruner> pruner_;
};

}  // namespace fettle
