// Shares of variance that are known.
#include "search/importance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "base/philox.h"
#include "search/sampler.h"

namespace fettle {
namespace {

Space unit_space(size_t n) {
  Space space;
  for (size_t i = 0; i < n; ++i) {
    Parameter parameter;
    parameter.name = "p" + std::to_string(i);
    parameter.high = 1;
    space.parameters.push_back(parameter);
  }
  return space;
}

std::vector<Trial> sample(const Space& space, int64_t n, const std::function<double(const ParameterValues&)>& f) {
  std::vector<Trial> trials;
  const std::vector<Goal> goals = {{"f", true}};
  for (int64_t i = 0; i < n; ++i) {
    Trial trial;
    trial.number = i;
    trial.state = TrialState::kComplete;
    trial.parameters = RandomSampler().suggest(space, {trials, goals}, 1, i);
    trial.values = {f(trial.parameters)};
    trials.push_back(std::move(trial));
  }
  return trials;
}

// f = 3a + b + 0c: variances 9/12, 1/12, 0.
TEST(Importance, OfASumAreTheSharesOfItsTerms) {
  const Space space = unit_space(3);
  const auto shares =
      parameter_importance(space, sample(space, 300, [](const auto& v) { return 3 * v[0] + v[1]; }), 0, 7);
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_NEAR(shares[0], 0.9, 0.05);
  EXPECT_NEAR(shares[1], 0.1, 0.05);
  EXPECT_LT(shares[2], 0.02);
}

// Neither explains anything alone.
TEST(Importance, OfAPureInteractionIsSmall) {
  const Space space = unit_space(2);
  const auto shares = parameter_importance(
      space, sample(space, 400, [](const auto& v) { return (v[0] > 0.5) == (v[1] > 0.5) ? 1.0 : 0.0; }), 0, 7);
  EXPECT_LT(shares[0] + shares[1], 0.15);
}

TEST(Importance, LogarithmsAndChoices) {
  Space space = unit_space(1);
  space.parameters[0].logarithmic = true;
  space.parameters[0].low = 1e-6;
  Parameter choice;
  choice.name = "c";
  choice.kind = ParameterKind::kCategorical;
  choice.choices = {"a", "b", "c"};
  space.parameters.push_back(choice);
  // Uniform in the logarithm: (1/12 · 6²) against the variance of {0, 3, 0}.
  const auto shares = parameter_importance(
      space, sample(space, 300, [](const auto& v) { return std::log10(v[0]) + (v[1] == 1 ? 3.0 : 0.0); }), 0, 7);
  EXPECT_NEAR(shares[0], 3.0 / 5.0, 0.06);
  EXPECT_NEAR(shares[1], 2.0 / 5.0, 0.06);
}

TEST(Importance, SaysNothingWithoutDifferencesOrTrials) {
  const Space space = unit_space(2);
  EXPECT_EQ(parameter_importance(space, sample(space, 20, [](const auto&) { return 0.5; }), 0, 7),
            (std::vector<double>{0, 0}));
  std::vector<Trial> trials = sample(space, 4, [](const auto& v) { return v[0]; });
  EXPECT_EQ(parameter_importance(space, trials, 0, 7).size(), 2u);
  trials[0].state = TrialState::kPruned;
  EXPECT_TRUE(parameter_importance(space, trials, 0, 7).empty());
}

TEST(Importance, IsAFunctionOfTheTrialsAndTheSeed) {
  const Space space = unit_space(3);
  const auto trials = sample(space, 50, [](const auto& v) { return v[0] * v[1] + v[2]; });
  EXPECT_EQ(parameter_importance(space, trials, 0, 7), parameter_importance(space, trials, 0, 7));
}

}  // namespace
}  // namespace fettle
