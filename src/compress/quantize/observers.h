// Observers: from how large a linear's inputs were, the largest that its integers should reach (techniques C4).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fettle {

// Magnitudes of values, counted in bins of one width that double when a value does not fit: the bins are the same in
// whatever order values and other histograms were added.
class MagnitudeHistogram {
 public:
  static constexpr int64_t kBins = 4096;

  // Finite values.
  void add(std::span<const float> values);
  void add(const MagnitudeHistogram& other);

  int64_t count() const { return count_; }
  float largest() const { return largest_; }
  double bin_width() const;
  const std::vector<int64_t>& bins() const { return bins_; }  // [kBins], all empty before the first value above 0

 private:
  void widen(int exponent);

  std::vector<int64_t> bins_ = std::vector<int64_t>(kBins);
  int exponent_ = 0;  // the bins reach from 0 to 2^exponent
  bool has_width_ = false;
  int64_t count_ = 0;
  float largest_ = 0;
};

enum class Observer : uint8_t {
  kMinMax,      // the largest magnitude
  kPercentile,  // that which a share of all values stays below
  kEntropy,     // the least Kullback-Leibler divergence of 128 levels from what they stand for (Migacz 2017)
  kMse,         // the least mean squared error of rounding and cutting
};

// Error kUsage for a name that is none: "minmax", "percentile", "entropy", "mse".
Observer observer_named(std::string_view name);
std::string_view observer_name(Observer observer);

// The magnitude that the integer 127 stands for; 0 where no value was above 0. `percentile` in (0, 100].
double observed_limit(const MagnitudeHistogram& values, Observer observer, double percentile);

}  // namespace fettle
