#include "search/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "search/tpe.h"

namespace fettle {
namespace {

Parameter range(const char* name, double low, double high, bool logarithmic = false,
                ParameterKind kind = ParameterKind::kFloat) {
  Parameter parameter;
  parameter.name = name;
  parameter.kind = kind;
  parameter.low = low;
  parameter.high = high;
  parameter.logarithmic = logarithmic;
  return parameter;
}

Parameter choices(const char* name, std::vector<Json> values) {
  Parameter parameter;
  parameter.name = name;
  parameter.kind = ParameterKind::kCategorical;
  parameter.choices = std::move(values);
  return parameter;
}

using Function = std::function<std::vector<double>(const ParameterValues&)>;

std::vector<Trial> optimize(const Sampler& sampler, const Space& space, const std::vector<Goal>& goals, uint64_t seed,
                            int64_t n_trials, const Function& function) {
  std::vector<Trial> trials;
  for (int64_t number = 0; number < n_trials; ++number) {
    Trial trial;
    trial.number = number;
    trial.parameters = sampler.suggest(space, {trials, goals}, seed, number);
    trial.values = function(trial.parameters);
    trial.state = TrialState::kComplete;
    trials.push_back(std::move(trial));
  }
  return trials;
}

const std::vector<Goal> kLeast = {{"loss", false}};

Space mixed_space() {
  return {{range("a", -1, 1), range("rate", 1e-5, 1e-1, true), range("n", 1, 9, false, ParameterKind::kInt),
           range("m", 1, 100, true, ParameterKind::kInt), choices("c", {"x", "y", "z"})}};
}

TEST(RandomSampler, CoversTheSpaceAndKeepsToIt) {
  const Space space = mixed_space();
  std::vector<int> low_decades(4, 0);
  std::set<double> whole;
  std::set<double> words;
  constexpr int kDraws = 4000;
  for (int i = 0; i < kDraws; ++i) {
    const ParameterValues v = RandomSampler().suggest(space, {{}, kLeast}, 5, i);
    ASSERT_EQ(v.size(), 5u);
    for (size_t p = 0; p < 4; ++p) {
      ASSERT_GE(v[p], space.parameters[p].low);
      ASSERT_LE(v[p], space.parameters[p].high);
    }
    ++low_decades[static_cast<size_t>(std::min(3.0, std::floor(std::log10(v[1]) + 5)))];
    whole.insert(v[2]);
    words.insert(v[4]);
    EXPECT_EQ(v[3], std::floor(v[3]));
  }
  for (int count : low_decades) EXPECT_NEAR(count, kDraws / 4, 150);
  EXPECT_EQ(whole.size(), 9u);
  EXPECT_EQ(words.size(), 3u);
}

TEST(Samplers, SuggestionsAreAFunctionOfSeedNumberAndHistory) {
  const Space space = mixed_space();
  const Function f = [](const ParameterValues& v) { return std::vector<double>{v[0] * v[0] + v[2]}; };
  for (const char* name : {"random", "tpe"}) {
    const auto sampler = make_sampler(name);
    const std::vector<Trial> trials = optimize(*sampler, space, kLeast, 1, 30, f);
    for (int64_t number : {0, 9, 10, 11, 29}) {
      const std::span<const Trial> before(trials.data(), static_cast<size_t>(number));
      EXPECT_EQ(make_sampler(name)->suggest(space, {before, kLeast}, 1, number),
                trials[static_cast<size_t>(number)].parameters);
      EXPECT_NE(sampler->suggest(space, {before, kLeast}, 2, number), trials[static_cast<size_t>(number)].parameters);
    }
  }
  EXPECT_THROW(make_sampler("grid"), Error);
}

TEST(Samplers, NothingIsTriedTwiceWhileThereIsSomethingNew) {
  const Space space = {{range("n", 1, 4, false, ParameterKind::kInt), choices("c", {"x", "y", "z"})}};
  const Function f = [](const ParameterValues& v) { return std::vector<double>{v[0] + v[1]}; };
  for (const char* name : {"random", "tpe"}) {
    std::set<ParameterValues> tried;
    for (const Trial& trial : optimize(*make_sampler(name), space, kLeast, 3, 12, f)) tried.insert(trial.parameters);
    EXPECT_GE(tried.size(), 11u) << name;  // 64 draws may miss the last
    EXPECT_EQ(optimize(*make_sampler(name), space, kLeast, 3, 20, f).size(), 20u);
  }
}

TEST(SequenceSampler, CountsFromTheLowEnd) {
  const Space space = {{range("seed", 7, 1e6, false, ParameterKind::kInt)}};
  EXPECT_EQ(SequenceSampler().suggest(space, {{}, kLeast}, 1, 0), ParameterValues{7});
  EXPECT_EQ(SequenceSampler().suggest(space, {{}, kLeast}, 1, 4), ParameterValues{11});
}

TEST(Tpe, RanksCompleteBeforePrunedAndLeavesOutTheRest) {
  std::vector<Trial> trials(6);
  const auto set = [&](size_t i, TrialState state, std::vector<double> values, std::vector<Intermediate> steps) {
    trials[i].number = static_cast<int64_t>(i);
    trials[i].state = state;
    trials[i].values = std::move(values);
    trials[i].intermediates = std::move(steps);
  };
  set(0, TrialState::kPruned, {}, {{1, 0.1}});
  set(1, TrialState::kComplete, {0.7}, {});
  set(2, TrialState::kFailed, {}, {});
  set(3, TrialState::kPruned, {}, {{1, 0.9}, {2, 0.8}});
  set(4, TrialState::kComplete, {0.2}, {});
  set(5, TrialState::kRunning, {}, {{1, 0.01}});
  EXPECT_EQ(rank_trials({trials, kLeast}), (std::vector<size_t>{4, 1, 3, 0}));
  const std::vector<Goal> most = {{"accuracy", true}};
  EXPECT_EQ(rank_trials({trials, most}), (std::vector<size_t>{1, 4, 3, 0}));
}

double rosenbrock(const ParameterValues& v) {
  return 100 * std::pow(v[1] - v[0] * v[0], 2) + std::pow(1 - v[0], 2);
}

const Trial& best_of(const std::vector<Trial>& trials) {
  return *std::min_element(trials.begin(), trials.end(),
                           [](const Trial& a, const Trial& b) { return a.values[0] < b.values[0]; });
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return 0.5 * (values[(values.size() - 1) / 2] + values[values.size() / 2]);
}

TEST(Tpe, FindsTheValleyOfRosenbrockFromTenSeeds) {
  const Space space = {{range("x", -2, 2), range("y", -2, 2)}};
  const Function f = [](const ParameterValues& v) { return std::vector<double>{rosenbrock(v)}; };
  std::vector<double> by_tpe;
  std::vector<double> by_random;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const Trial found = best_of(optimize(TpeSampler(), space, kLeast, seed, 1000, f));
    EXPECT_LT(std::hypot(found.parameters[0] - 1, found.parameters[1] - 1), 0.1)
        << "seed " << seed << ": " << describe(space, found.parameters) << ", " << found.values[0];
    by_tpe.push_back(found.values[0]);
    by_random.push_back(best_of(optimize(RandomSampler(), space, kLeast, seed, 1000, f)).values[0]);
  }
  RecordProperty("median_tpe", std::to_string(median(by_tpe)));
  RecordProperty("median_random", std::to_string(median(by_random)));
  EXPECT_LT(median(by_tpe), 0.2 * median(by_random));
}

// As a search of training options is: few trials, a choice, a rate by logarithm, an interaction.
TEST(Tpe, BeatsRandomSearchInAMixedSpace) {
  const Space space = mixed_space();
  const Function f = [](const ParameterValues& v) {
    const double rate = std::log10(v[1]) + 3;
    return std::vector<double>{v[0] * v[0] + rate * rate + 0.1 * std::abs(v[2] - 6) +
                               0.2 * std::abs(std::log(v[3] / 20)) + (v[4] == 1 ? 0 : 1) + 0.3 * v[0] * rate};
  };
  std::vector<double> by_tpe;
  std::vector<double> by_random;
  for (uint64_t seed = 0; seed < 15; ++seed) {
    by_tpe.push_back(best_of(optimize(TpeSampler(), space, kLeast, seed, 60, f)).values[0]);
    by_random.push_back(best_of(optimize(RandomSampler(), space, kLeast, seed, 60, f)).values[0]);
  }
  RecordProperty("median_tpe", std::to_string(median(by_tpe)));
  RecordProperty("median_random", std::to_string(median(by_random)));
  EXPECT_LT(median(by_tpe), 0.7 * median(by_random));
}

// Area that the front dominates within [0, 1]².
double hypervolume(const std::vector<Trial>& trials, const std::vector<Goal>& goals) {
  std::vector<std::vector<double>> front;
  for (size_t i : pareto_front(trials, goals)) front.push_back(losses_of(trials[i], goals));
  double area = 0;
  double right = 1;
  std::sort(front.begin(), front.end(), std::greater<>());
  for (const auto& point : front) {
    area += std::max(0.0, right - point[0]) * std::max(0.0, 1 - point[1]);
    right = std::min(right, point[0]);
  }
  return area;
}

TEST(Tpe, BeatsRandomSearchForTwoGoals) {
  const std::vector<Goal> goals = {{"f1", false}, {"f2", false}};
  Space space;
  for (const char* name : {"a", "b", "c", "d"}) space.parameters.push_back(range(name, 0, 1));
  // ZDT1 (Zitzler, Deb & Thiele 2000), scaled to [0, 1].
  const Function f = [](const ParameterValues& v) {
    const double g = 1 + 3 * (v[1] + v[2] + v[3]);
    return std::vector<double>{v[0], g * (1 - std::sqrt(v[0] / g)) / 5};
  };
  std::vector<double> by_tpe;
  std::vector<double> by_random;
  for (uint64_t seed = 0; seed < 7; ++seed) {
    by_tpe.push_back(hypervolume(optimize(TpeSampler(), space, goals, seed, 100, f), goals));
    by_random.push_back(hypervolume(optimize(RandomSampler(), space, goals, seed, 100, f), goals));
  }
  RecordProperty("median_tpe", std::to_string(median(by_tpe)));
  RecordProperty("median_random", std::to_string(median(by_random)));
  EXPECT_GT(median(by_tpe), median(by_random) + 0.02);
}

TEST(Tpe, KeepsAwayFromWhatFails) {
  const Space space = {{range("x", 0, 1)}};
  std::vector<Trial> trials;
  int late_failures = 0;
  for (int64_t number = 0; number < 60; ++number) {
    Trial trial;
    trial.number = number;
    trial.parameters = TpeSampler().suggest(space, {trials, kLeast}, 4, number);
    const double x = trial.parameters[0];
    trial.state = x > 0.5 ? TrialState::kFailed : TrialState::kComplete;
    if (x <= 0.5) trial.values = {-x};
    late_failures += number >= 30 && x > 0.5;
    trials.push_back(std::move(trial));
  }
  EXPECT_LT(late_failures, 15);
}

}  // namespace
}  // namespace fettle
