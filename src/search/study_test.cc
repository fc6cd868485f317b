// A study that is interrupted anywhere ends as one that was not.
#include "search/study.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "base/cancel.h"
#include "base/error.h"
#include "base/log.h"
#include "base/scratch_folder.h"

namespace fettle {
namespace {

StudyKey make_key() {
  StudyKey key;
  for (const char* name : {"x", "y"}) {
    Parameter parameter;
    parameter.name = name;
    parameter.low = -1;
    parameter.high = 1;
    key.space.parameters.push_back(parameter);
  }
  key.goals = {{"f", true}};
  key.seed = 9;
  return key;
}

double f(const ParameterValues& v) {
  return -(v[0] - 0.3) * (v[0] - 0.3) - v[1] * v[1];
}

constexpr int64_t kSteps = 4;
constexpr int64_t kTrials = 25;

// Comes nearer to its result with each step. `stop` may throw.
StudyWork work_on(const std::function<void()>& stop = [] {}) {
  return {.run = [stop](const Trial& trial, bool, const ReportStep& report) {
    const double result = f(trial.parameters);
    TrialOutcome outcome;
    for (int64_t step = 1; step <= kSteps && !outcome.pruned; ++step) {
      stop();
      outcome.pruned = !report(step, result - 1.0 / static_cast<double>(step), step == kSteps);
    }
    stop();
    outcome.values = {result};
    return outcome;
  }};
}

Study open_study(const ScratchFolder& folder, const char* name = "study.sqlite") {
  return Study(folder / name, make_key(), make_sampler("tpe"), make_pruner("median"));
}

void expect_same(const std::vector<Trial>& a, const std::vector<Trial>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].state, b[i].state) << i;
    EXPECT_EQ(a[i].parameters, b[i].parameters) << i;
    EXPECT_EQ(a[i].values, b[i].values) << i;
    ASSERT_EQ(a[i].intermediates.size(), b[i].intermediates.size()) << i;
    for (size_t s = 0; s < a[i].intermediates.size(); ++s) {
      EXPECT_EQ(a[i].intermediates[s].value, b[i].intermediates[s].value);
    }
  }
}

class StudyTest : public testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }
  void TearDown() override { clear_cancel(); }
  ScratchFolder folder_;
};

TEST_F(StudyTest, ImprovesPrunesAndComesToAnEnd) {
  Study study = open_study(folder_);
  study.optimize(kTrials, work_on());
  const std::vector<Trial> trials = study.trials();
  ASSERT_EQ(trials.size(), static_cast<size_t>(kTrials));
  int64_t n_pruned = 0;
  for (const Trial& trial : trials) n_pruned += trial.state == TrialState::kPruned;
  EXPECT_GT(n_pruned, 0);
  EXPECT_GT(trials[pareto_front(trials, study.key().goals)[0]].values[0], -0.2);
  study.optimize(kTrials, work_on([] { ADD_FAILURE() << "nothing is left to do"; }));
}

TEST_F(StudyTest, KilledAfterAnyStepItEndsTheSame) {
  Study whole = open_study(folder_, "whole.sqlite");
  whole.optimize(kTrials, work_on());
  for (int64_t stride : {6, 9, 20}) {
    const std::string name = "killed" + std::to_string(stride) + ".sqlite";
    int n_kills = 0;
    for (bool done = false; !done; ++n_kills) {
      const pid_t child = ::fork();
      if (child == 0) {
        int64_t left = stride + n_kills % 3;
        open_study(folder_, name.c_str()).optimize(kTrials, work_on([&] {
                                                     if (--left < 0) ::_exit(9);
                                                   }));
        ::_exit(0);
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      done = WEXITSTATUS(status) == 0;
      ASSERT_LT(n_kills, 1000);
    }
    EXPECT_GT(n_kills, 1);
    expect_same(open_study(folder_, name.c_str()).trials(), whole.trials());
  }
}

TEST_F(StudyTest, CtrlCGivesTheTrialBack) {
  Study whole = open_study(folder_, "whole.sqlite");
  whole.optimize(kTrials, work_on());
  {
    Study study = open_study(folder_);
    int64_t left = 40;
    const auto stop = [&] {
      if (--left == 0) request_cancel();
      throw_if_cancelled();
    };
    EXPECT_THROW(study.optimize(kTrials, work_on(stop)), Error);
    clear_cancel();
    study.optimize(kTrials, work_on());
  }
  expect_same(open_study(folder_).trials(), whole.trials());
}

TEST_F(StudyTest, ErrorsAndInfinitiesAreFailedTrials) {
  Study study = open_study(folder_);
  study.optimize(6, {.run = [](const Trial& trial, bool, const ReportStep&) -> TrialOutcome {
                   if (trial.number == 1) failed("training", "the loss is not finite");
                   if (trial.number == 3) return {.values = {std::numeric_limits<double>::quiet_NaN()}};
                   return {.values = {1}};
                 }});
  const std::vector<Trial> trials = study.trials();
  EXPECT_EQ(trials[1].state, TrialState::kFailed);
  EXPECT_NE(trials[1].detail.find("not finite"), std::string::npos);
  EXPECT_EQ(trials[3].state, TrialState::kFailed);
  EXPECT_EQ(trials[5].state, TrialState::kComplete);
}

TEST_F(StudyTest, OtherErrorsEndTheStudyAndLeaveTheTrial) {
  const auto work =
      StudyWork{.run = [](const Trial&, bool, const ReportStep&) -> TrialOutcome { bad_input("data", "is empty"); }};
  EXPECT_THROW(open_study(folder_).optimize(3, work), Error);
  const std::vector<Trial> trials = open_study(folder_).trials();
  ASSERT_EQ(trials.size(), 1u);
  EXPECT_EQ(trials[0].state, TrialState::kRunning);
}

TEST_F(StudyTest, KeepsTheBestBeforeItIsKnown) {
  Study study = open_study(folder_);
  std::vector<int64_t> kept;
  StudyWork work = work_on();
  work.keep = [&](const Trial& trial) {
    EXPECT_EQ(study.trials()[static_cast<size_t>(trial.number)].state, TrialState::kRunning);
    kept.push_back(trial.number);
  };
  std::vector<int64_t> best;
  work.finished = [&](const Trial&, std::span<const Trial> trials, std::span<const size_t> front) {
    if (!front.empty() && (best.empty() || best.back() != trials[front[0]].number))
      best.push_back(trials[front[0]].number);
  };
  study.optimize(kTrials, work);
  EXPECT_EQ(kept, best);
  EXPECT_GT(kept.size(), 1u);
}

TEST_F(StudyTest, ProcessesShareAStudy) {
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      open_study(folder_).optimize(kTrials, work_on());
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  const std::vector<Trial> trials = open_study(folder_).trials();
  ASSERT_EQ(trials.size(), static_cast<size_t>(kTrials));
  for (const Trial& trial : trials) EXPECT_NE(trial.state, TrialState::kRunning);
}

TEST_F(StudyTest, SeveralGoalsAreNotPruned) {
  StudyKey key = make_key();
  key.goals.push_back({"g", false});
  EXPECT_THROW(Study(folder_ / "two.sqlite", key, make_sampler("tpe"), make_pruner("median")), Error);
  Study study(folder_ / "two.sqlite", key, make_sampler("tpe"), make_pruner("none"));
  study.optimize(15, {.run = [](const Trial& trial, bool, const ReportStep&) -> TrialOutcome {
                   return {.values = {trial.parameters[0], trial.parameters[0] + std::abs(trial.parameters[1])}};
                 }});
  EXPECT_GE(pareto_front(study.trials(), key.goals).size(), 2u);
}

}  // namespace
}  // namespace fettle
