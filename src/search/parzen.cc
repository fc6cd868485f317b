#include "search/parzen.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fettle {
namespace {

constexpr double kLeastMass = 1e-300;

// Mass of the standard normal density between a and b; exact in both tails.
double normal_mass(double a, double b) {
  if (a > 0) return normal_mass(-b, -a);
  constexpr double kHalfRoot = 1 / std::numbers::sqrt2;
  return 0.5 * (std::erfc(-b * kHalfRoot) - std::erfc(-a * kHalfRoot));
}

double log_mass(double a, double b) {
  return std::log(std::max(normal_mass(a, b), kLeastMass));
}

// The variance that the prior expects, of a uniform density, counts as one observation's.
double smoothed_variance(const std::vector<double>& values, double range) {
  const auto n = static_cast<double>(values.size());
  double mean = 0;
  for (double value : values) mean += value / n;
  double squares = range * range / 12;
  for (double value : values) squares += (value - mean) * (value - mean);
  return squares / (n + 1);
}

}  // namespace

ParzenEstimator::ParzenEstimator(const Space& space, std::span<const Observation> observations, double narrowest)
    : n_kernels_(observations.size() + 1) {
  const auto n = static_cast<double>(std::max<size_t>(1, observations.size()));
  const double shrink = std::pow(n, -1 / (static_cast<double>(space.size()) + 4));
  for (size_t i = 0; i < space.size(); ++i) {
    const Parameter& parameter = space.parameters[i];
    dimensions_.push_back(parameter.kind == ParameterKind::kCategorical
                              ? choice_dimension(parameter, i, observations)
                              : number_dimension(parameter, i, observations, narrowest, shrink));
  }
}

ParzenEstimator::Dimension ParzenEstimator::number_dimension(const Parameter& parameter, size_t index,
                                                             std::span<const Observation> observations,
                                                             double narrowest, double shrink) const {
  Dimension dimension;
  dimension.parameter = parameter;
  const double low = search_low(parameter);
  const double high = search_high(parameter);
  const double range = high - low;
  for (const Observation observation : observations) {
    dimension.centers.push_back(to_search(parameter, (*observation)[index]));
  }
  const double deviation = std::sqrt(smoothed_variance(dimension.centers, range));
  dimension.width = std::clamp(shrink * deviation, narrowest * range, range);
  dimension.prior_width = range;
  dimension.centers.push_back(low + range / 2);
  for (size_t k = 0; k < n_kernels_; ++k) {
    const double width = dimension.kernel_width(k);
    double scale = -log_mass((low - dimension.centers[k]) / width, (high - dimension.centers[k]) / width);
    if (parameter.kind == ParameterKind::kFloat) scale -= std::log(width) + 0.5 * std::log(2 * std::numbers::pi);
    dimension.log_scale.push_back(scale);
  }
  return dimension;
}

ParzenEstimator::Dimension ParzenEstimator::choice_dimension(const Parameter& parameter, size_t index,
                                                             std::span<const Observation> observations) const {
  Dimension dimension;
  dimension.parameter = parameter;
  for (const Observation observation : observations) {
    dimension.observed.push_back(static_cast<int64_t>((*observation)[index]));
  }
  const double smoothing = 1 / static_cast<double>(n_kernels_);
  const double total = 1 + smoothing * static_cast<double>(parameter.n_choices());
  dimension.log_hit = std::log((1 + smoothing) / total);
  dimension.log_miss = std::log(smoothing / total);
  return dimension;
}

ParameterValues ParzenEstimator::sample(Philox& random) const {
  const auto kernel = static_cast<size_t>(random.below(n_kernels_));
  const bool is_prior = kernel + 1 == n_kernels_;
  ParameterValues values;
  for (const Dimension& d : dimensions_) {
    if (d.parameter.kind == ParameterKind::kCategorical) {
      const auto n_choices = static_cast<uint64_t>(d.parameter.n_choices());
      const double smoothed = std::exp(d.log_miss) * static_cast<double>(n_choices);
      const bool any = is_prior || random.uniform_double() < smoothed;
      values.push_back(any ? static_cast<double>(random.below(n_choices)) : static_cast<double>(d.observed[kernel]));
      continue;
    }
    const double low = search_low(d.parameter);
    const double high = search_high(d.parameter);
    // A kernel's centre lies in the range and its width is at most the range: a third of the draws hit at the least.
    double drawn = low - 1;
    while (drawn < low || drawn > high) drawn = d.centers[kernel] + d.kernel_width(kernel) * random.normal();
    values.push_back(from_search(d.parameter, drawn));
  }
  return values;
}

void ParzenEstimator::add_log_density(const Dimension& d, double value, std::vector<double>& sums) const {
  const Parameter& p = d.parameter;
  if (p.kind == ParameterKind::kCategorical) {
    const auto choice = static_cast<int64_t>(value);
    for (size_t k = 0; k + 1 < n_kernels_; ++k) sums[k] += d.observed[k] == choice ? d.log_hit : d.log_miss;
    sums.back() -= std::log(static_cast<double>(p.n_choices()));
    return;
  }
  if (p.kind == ParameterKind::kInt) {
    const double from = to_search(p, value - 0.5);
    const double to = to_search(p, value + 0.5);
    for (size_t k = 0; k < n_kernels_; ++k) {
      const double width = d.kernel_width(k);
      sums[k] += d.log_scale[k] + log_mass((from - d.centers[k]) / width, (to - d.centers[k]) / width);
    }
    return;
  }
  const double place = to_search(p, value);
  for (size_t k = 0; k < n_kernels_; ++k) {
    const double z = (place - d.centers[k]) / d.kernel_width(k);
    sums[k] += d.log_scale[k] - 0.5 * z * z;
  }
}

double ParzenEstimator::log_density(const ParameterValues& values) const {
  std::vector<double> sums(n_kernels_, -std::log(static_cast<double>(n_kernels_)));
  for (size_t i = 0; i < dimensions_.size(); ++i) add_log_density(dimensions_[i], values[i], sums);
  const double largest = *std::max_element(sums.begin(), sums.end());
  double total = 0;
  for (double sum : sums) total += std::exp(sum - largest);
  return largest + std::log(total);
}

}  // namespace fettle
