#include "search/study.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "base/cancel.h"
#include "base/error.h"
#include "base/log.h"

namespace fettle {
namespace {

constexpr auto kLookAgain = std::chrono::milliseconds(200);

bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

Study::Study(const std::filesystem::path& path, StudyKey key, std::shared_ptr<const Sampler> sampler,
             std::shared_ptr<const Pruner> pruner)
    : file_(path, key), sampler_(std::move(sampler)), pruner_(std::move(pruner)) {
  if (key.goals.size() > 1 && pruner_->name() != NoPruner().name()) {
    usage_error("pruner", "works for one goal only", "--pruner none");
  }
}

void Study::optimize(int64_t n_trials, const StudyWork& work) {
  bool said_waiting = false;
  const auto propose = [&](int64_t number, const std::vector<Trial>& trials) {
    return sampler_->suggest(key().space, {trials, key().goals}, key().seed, number);
  };
  while (true) {
    throw_if_cancelled();
    StudyFile::Claim claim = file_.claim(n_trials, propose);
    switch (claim.kind) {
      case StudyFile::Claim::Kind::kDone:
        return;
      case StudyFile::Claim::Kind::kWait:
        if (!said_waiting) log_info("waiting for the trials that other processes work on");
        said_waiting = true;
        std::this_thread::sleep_for(kLookAgain);
        break;
      case StudyFile::Claim::Kind::kTrial:
        evaluate(std::move(claim.trial), claim.was_begun, work);
        break;
    }
  }
}

void Study::evaluate(Trial trial, bool was_begun, const StudyWork& work) {
  const int64_t number = trial.number;
  const Goal& goal = key().goals[0];
  bool prune_decided = trial.prune_decided;
  const ReportStep report = [&](int64_t step, double value, bool is_last) {
    prune_decided = file_.report(number, {step, value}, [&](const Trial& now, const std::vector<Trial>& trials) {
      return !is_last && pruner_->should_prune(now, trials, goal);
    });
    return !prune_decided;
  };
  try {
    const TrialOutcome outcome = work.run(trial, was_begun, report);
    trial.seconds = outcome.seconds;
    if (outcome.pruned || prune_decided) {
      trial.state = TrialState::kPruned;
    } else if (all_finite(outcome.values)) {
      trial.state = TrialState::kComplete;
      trial.values = outcome.values;
    } else {
      trial.state = TrialState::kFailed;
      trial.detail = "its result is not finite";
    }
  } catch (const TrialLost& lost) {
    log_warning(lost.what());
    return;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kFailed) {
      file_.release(number);
      throw;
    }
    trial.state = TrialState::kFailed;
    trial.detail = error.what();
  } catch (...) {
    file_.release(number);
    throw;
  }
  try {
    if (work.keep && trial.state == TrialState::kComplete && is_on_front(trial)) work.keep(trial);
    file_.finish(trial);
  } catch (const TrialLost& lost) {
    log_warning(lost.what());
    return;
  } catch (...) {
    file_.release(number);
    throw;
  }
  if (!work.finished) return;
  const std::vector<Trial> trials = file_.trials();
  work.finished(trials[static_cast<size_t>(number)], trials, pareto_front(trials, key().goals));
}

bool Study::is_on_front(const Trial& trial) const {
  std::vector<Trial> trials = file_.trials();
  trials[static_cast<size_t>(trial.number)] = trial;
  const std::vector<size_t> front = pareto_front(trials, key().goals);
  return std::find(front.begin(), front.end(), static_cast<size_t>(trial.number)) != front.end();
}

}  // namespace fettle
