// The densities are densities, and samples come from them.
#include "search/parzen.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace fettle {
namespace {

Parameter number(ParameterKind kind, double low, double high, bool logarithmic = false) {
  Parameter parameter;
  parameter.name = "x";
  parameter.kind = kind;
  parameter.low = low;
  parameter.high = high;
  parameter.logarithmic = logarithmic;
  return parameter;
}

Parameter choice(size_t n) {
  Parameter parameter;
  parameter.name = "c";
  parameter.kind = ParameterKind::kCategorical;
  for (size_t i = 0; i < n; ++i) parameter.choices.emplace_back(i);
  return parameter;
}

std::vector<Observation> observe(const std::vector<ParameterValues>& values) {
  std::vector<Observation> observations;
  for (const ParameterValues& each : values) observations.push_back(&each);
  return observations;
}

// Sum of the density over a grid in the search space, or over all values.
double integral(const ParzenEstimator& density, const Parameter& parameter) {
  double sum = 0;
  if (parameter.kind == ParameterKind::kFloat) {
    constexpr int kCells = 20000;
    const double cell = (search_high(parameter) - search_low(parameter)) / kCells;
    for (int i = 0; i < kCells; ++i) {
      sum += cell * std::exp(density.log_density({from_search(parameter, search_low(parameter) + (i + 0.5) * cell)}));
    }
    return sum;
  }
  const bool is_choice = parameter.kind == ParameterKind::kCategorical;
  const double last = is_choice ? static_cast<double>(parameter.n_choices()) - 1 : parameter.high;
  for (double v = is_choice ? 0 : parameter.low; v <= last; ++v) sum += std::exp(density.log_density({v}));
  return sum;
}

TEST(Parzen, DensitiesSumToOne) {
  const std::vector<std::pair<Parameter, std::vector<ParameterValues>>> cases = {
      {number(ParameterKind::kFloat, -2, 2), {{-2}, {-1.9}, {1.5}, {0.1}}},
      {number(ParameterKind::kFloat, 1e-5, 1e-3, true), {{1e-5}, {2e-5}, {9e-4}}},
      {number(ParameterKind::kInt, 5, 10), {{5}, {5}, {7}, {10}}},
      {number(ParameterKind::kInt, 1, 512, true), {{1}, {2}, {300}}},
      {choice(4), {{0}, {0}, {3}}},
      {number(ParameterKind::kFloat, 0, 1), {}},
      {number(ParameterKind::kFloat, 0, 1), {{0.3}, {0.3}, {0.3}}},
  };
  for (const auto& [parameter, values] : cases) {
    const Space space{{parameter}};
    EXPECT_NEAR(integral(ParzenEstimator(space, observe(values), 0.01), parameter), 1, 1e-3);
  }
}

TEST(Parzen, TwoParametersFactorizeWithinAKernelOnly) {
  const Space space{{number(ParameterKind::kFloat, 0, 1), number(ParameterKind::kFloat, 0, 1)}};
  const std::vector<ParameterValues> diagonal = {{0.1, 0.1}, {0.1, 0.1}, {0.9, 0.9}, {0.9, 0.9}};
  const ParzenEstimator density(space, observe(diagonal), 0.01);
  EXPECT_GT(density.log_density({0.1, 0.1}), density.log_density({0.1, 0.9}) + 0.3);
}

TEST(Parzen, SamplesFollowTheDensity) {
  const Space space{{number(ParameterKind::kInt, 5, 10), choice(3)}};
  const std::vector<ParameterValues> values = {{5, 0}, {6, 0}, {9, 2}};
  const ParzenEstimator density(space, observe(values), 0.05);
  Philox random(11);
  std::map<ParameterValues, int> counts;
  constexpr int kDraws = 60000;
  for (int i = 0; i < kDraws; ++i) ++counts[density.sample(random)];
  for (double epochs = 5; epochs <= 10; ++epochs) {
    for (double c = 0; c < 3; ++c) {
      const double expected = std::exp(density.log_density({epochs, c}));
      const double found = static_cast<double>(counts[{epochs, c}]) / kDraws;
      EXPECT_NEAR(found, expected, 5 * std::sqrt(expected / kDraws) + 1e-4) << epochs << " " << c;
    }
  }
}

TEST(Parzen, FarTailsStayFinite) {
  const Space space{{number(ParameterKind::kInt, 0, 100000)}};
  std::vector<ParameterValues> values(50, ParameterValues{3});
  const ParzenEstimator density(space, observe(values), 0.001);
  EXPECT_TRUE(std::isfinite(density.log_density({100000})));
}

}  // namespace
}  // namespace fettle
