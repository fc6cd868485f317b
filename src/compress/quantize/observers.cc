#include "compress/quantize/observers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/error.h"

namespace fettle {
namespace {

constexpr int64_t kLevels = 128;  // magnitudes of an 8-bit integer, 0 … 127

constexpr std::array<std::pair<Observer, std::string_view>, 4> kNames = {{{Observer::kMinMax, "minmax"},
                                                                          {Observer::kPercentile, "percentile"},
                                                                          {Observer::kEntropy, "entropy"},
                                                                          {Observer::kMse, "mse"}}};

// The least number of bins from the first on that hold this share.
int64_t bins_with_share(const MagnitudeHistogram& values, double share) {
  const double wanted = share * static_cast<double>(values.count());
  int64_t seen = 0;
  for (int64_t i = 0; i < MagnitudeHistogram::kBins; ++i) {
    seen += values.bins()[static_cast<size_t>(i)];
    if (static_cast<double>(seen) >= wanted) return i + 1;
  }
  return MagnitudeHistogram::kBins;
}

// Σ (x - cut and rounded x)², every value in the middle of its bin.
double squared_error(const MagnitudeHistogram& values, double limit) {
  const double step = limit / (kLevels - 1);
  double sum = 0;
  for (int64_t i = 0; i < MagnitudeHistogram::kBins; ++i) {
    const int64_t n = values.bins()[static_cast<size_t>(i)];
    if (n == 0) continue;
    const double x = (static_cast<double>(i) + 0.5) * values.bin_width();
    const double error = x - std::min(std::nearbyint(x / step) * step, limit);
    sum += static_cast<double>(n) * error * error;
  }
  return sum;
}

double limit_of_least_error(const MagnitudeHistogram& values) {
  constexpr int kCandidates = 100;  // hundredths of the largest
  double best = values.largest();
  double least = std::numeric_limits<double>::infinity();
  for (int i = kCandidates; i > 0; --i) {
    const double limit = values.largest() * (static_cast<double>(i) / kCandidates);
    const double error = squared_error(values, limit);
    if (error >= least) continue;
    least = error;
    best = limit;
  }
  return best;
}

// Divergence of what kLevels levels make of the first n_bins bins from these bins, with all beyond them in the last.
double divergence(const std::vector<int64_t>& bins, int64_t n_bins, int64_t n_beyond) {
  // Where one of the two has nothing the other has a little, as nothing would be infinitely far.
  constexpr double kLittle = 1e-4;
  double total = static_cast<double>(n_beyond);
  for (int64_t i = 0; i < n_bins; ++i) total += static_cast<double>(bins[static_cast<size_t>(i)]);
  const double total_kept = total - static_cast<double>(n_beyond);
  if (total_kept <= 0) return std::numeric_limits<double>::infinity();
  double sum = 0;
  for (int64_t level = 0; level < kLevels; ++level) {
    const int64_t begin = level * n_bins / kLevels;
    const int64_t end = (level + 1) * n_bins / kLevels;
    double in_level = 0;
    int64_t n_filled = 0;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = bins[static_cast<size_t>(i)];
      in_level += static_cast<double>(n);
      if (n > 0) ++n_filled;
    }
    for (int64_t i = begin; i < end; ++i) {
      const double kept = static_cast<double>(bins[static_cast<size_t>(i)]);
      const double p = kept + (i == n_bins - 1 ? static_cast<double>(n_beyond) : 0.0);
      if (p == 0) continue;
      const double q = kept > 0 ? in_level / static_cast<double>(n_filled) : kLittle;
      sum += p / total * std::log((p / total) / (q / total_kept));
    }
  }
  return sum;
}

double limit_of_least_divergence(const MagnitudeHistogram& values) {
  constexpr int64_t kStep = 16;
  const std::vector<int64_t>& bins = values.bins();
  const int64_t n_used = bins_with_share(values, 1);
  int64_t best = n_used;
  double least = std::numeric_limits<double>::infinity();
  int64_t beyond = values.count();
  int64_t counted = 0;
  for (int64_t n = std::min(kLevels, n_used); n <= n_used; n += kStep) {
    for (; counted < n; ++counted) beyond -= bins[static_cast<size_t>(counted)];
    const double d = divergence(bins, n, beyond);
    if (d >= least) continue;
    least = d;
    best = n;
  }
  if (divergence(bins, n_used, 0) < least) best = n_used;
  return static_cast<double>(best) * values.bin_width();
}

}  // namespace

double MagnitudeHistogram::bin_width() const {
  return std::ldexp(1.0, exponent_) / static_cast<double>(kBins);
}

void MagnitudeHistogram::widen(int exponent) {
  if (!has_width_) {
    has_width_ = true;
    exponent_ = exponent;
  }
  for (; exponent_ < exponent; ++exponent_) {
    for (size_t i = 0; i < kBins / 2; ++i) bins_[i] = bins_[2 * i] + bins_[2 * i + 1];
    std::fill(bins_.begin() + kBins / 2, bins_.end(), 0);
  }
}

void MagnitudeHistogram::add(std::span<const float> values) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  count_ += std::ssize(values);
  if (largest > 0) {
    largest_ = std::max(largest_, largest);
    widen(std::ilogb(largest_) + 1);
  }
  const double per_width = 1 / bin_width();
  for (const float value : values) {
    const auto bin = static_cast<int64_t>(std::fabs(static_cast<double>(value)) * per_width);
    ++bins_[static_cast<size_t>(std::min(bin, kBins - 1))];
  }
}

void MagnitudeHistogram::add(const MagnitudeHistogram& other) {
  MagnitudeHistogram wider = other;
  if (other.has_width_) {
    widen(other.exponent_);
    wider.widen(exponent_);
  }
  for (size_t i = 0; i < kBins; ++i) bins_[i] += wider.bins_[i];
  count_ += other.count_;
  largest_ = std::max(largest_, other.largest_);
}

Observer observer_named(std::string_view name) {
  for (const auto& [observer, its_name] : kNames) {
    if (name == its_name) return observer;
  }
  usage_error("observer", "'" + std::string(name) + "' is not known", "minmax, percentile, entropy, mse");
}

std::string_view observer_name(Observer observer) {
  return std::ranges::find(kNames, observer, &std::pair<Observer, std::string_view>::first)->second;
}

double observed_limit(const MagnitudeHistogram& values, Observer observer, double percentile) {
  const double largest = values.largest();
  if (largest == 0) return 0;
  switch (observer) {
    case Observer::kMinMax:
      return largest;
    case Observer::kPercentile:
      return std::min(largest, static_cast<double>(bins_with_share(values, percentile / 100)) * values.bin_width());
    case Observer::kEntropy:
      return std::min(largest, limit_of_least_divergence(values));
    case Observer::kMse:
      return limit_of_least_error(values);
  }
  return largest;
}

}  // namespace fettle
