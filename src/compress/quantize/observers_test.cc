// Observers against plain definitions.
#include "compress/quantize/observers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/philox.h"

namespace fettle {
namespace {

std::vector<float> normal(int64_t n, float scale, uint64_t seed) {
  Philox random(seed);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = scale * random.normal();
  return values;
}

TEST(MagnitudeHistogram, IsTheSameInAnyOrder) {
  std::vector<float> values = normal(5000, 0.01f, 1);
  const std::vector<float> large = normal(3000, 40.0f, 2);
  values.insert(values.end(), large.begin(), large.end());
  MagnitudeHistogram whole;
  whole.add(values);
  std::ranges::reverse(values);
  MagnitudeHistogram one_by_one;
  for (const float value : values) one_by_one.add({&value, 1});
  MagnitudeHistogram parts[3];
  for (size_t i = 0; i < values.size(); ++i) parts[i % 3].add({&values[i], 1});
  parts[1].add(parts[2]);
  parts[1].add(parts[0]);
  for (const MagnitudeHistogram* other : {&one_by_one, &parts[1]}) {
    EXPECT_EQ(other->bins(), whole.bins());
    EXPECT_EQ(other->bin_width(), whole.bin_width());
    EXPECT_EQ(other->count(), whole.count());
    EXPECT_EQ(other->largest(), whole.largest());
  }
}

TEST(MagnitudeHistogram, CountsEveryValueInItsBin) {
  const std::vector<float> values = {0, 0.1f, -0.1f, 1.0f, -1.5f, 1.99f};
  MagnitudeHistogram histogram;
  histogram.add(values);
  EXPECT_EQ(histogram.bin_width(), 2.0 / 4096);
  std::vector<int64_t> expected(4096);
  for (const float value : values) ++expected[static_cast<size_t>(std::fabs(double{value}) / (2.0 / 4096))];
  EXPECT_EQ(histogram.bins(), expected);
}

TEST(MagnitudeHistogram, TakesZerosAndTheSmallestAndLargestFloats) {
  MagnitudeHistogram histogram;
  histogram.add(std::vector<float>{0, 0});
  EXPECT_EQ(observed_limit(histogram, Observer::kMse, 99), 0);
  histogram.add(std::vector<float>{1e-45f});
  EXPECT_FLOAT_EQ(static_cast<float>(observed_limit(histogram, Observer::kMinMax, 99)), 1e-45f);
  histogram.add(std::vector<float>{3.4e38f});
  EXPECT_EQ(histogram.count(), 4);
  EXPECT_EQ(histogram.bins()[0], 3);
}

TEST(Observers, Percentile) {
  std::vector<float> values;
  for (int i = 1; i <= 1000; ++i) values.push_back(static_cast<float>(i) / 1000);
  MagnitudeHistogram histogram;
  histogram.add(values);
  EXPECT_NEAR(observed_limit(histogram, Observer::kPercentile, 90), 0.9, 2 * histogram.bin_width());
  EXPECT_EQ(observed_limit(histogram, Observer::kPercentile, 100), 1);
  EXPECT_EQ(observed_limit(histogram, Observer::kMinMax, 90), 1);
}

double squared_error(const std::vector<float>& values, double limit) {
  double sum = 0;
  for (const float value : values) {
    const double step = limit / 127;
    const double q = std::clamp(std::nearbyint(double{value} / step), -127.0, 127.0);
    sum += std::pow(double{value} - q * step, 2);
  }
  return sum;
}

// No other limit has a smaller error, measured on the values themselves.
TEST(Observers, MseIsTheLeastError) {
  std::vector<float> values = normal(20000, 1, 3);
  values.push_back(60);
  MagnitudeHistogram histogram;
  histogram.add(values);
  const double limit = observed_limit(histogram, Observer::kMse, 0);
  const double chosen = squared_error(values, limit);
  for (int i = 1; i <= 200; ++i) {
    EXPECT_GE(squared_error(values, 60.0 * i / 200), 0.995 * chosen) << i;
  }
  EXPECT_LT(chosen, 0.9 * squared_error(values, 60));
}

// Of values without outliers nearly all stays, of many small ones with a far outlier the outlier goes.
TEST(Observers, EntropyCutsOutliersOnly) {
  MagnitudeHistogram plain;
  Philox random(4);
  std::vector<float> uniform(50000);
  for (float& value : uniform) value = static_cast<float>(random.uniform());
  plain.add(uniform);
  EXPECT_GT(observed_limit(plain, Observer::kEntropy, 0), 0.95);
  MagnitudeHistogram with_outlier;
  with_outlier.add(normal(50000, 0.1f, 5));
  with_outlier.add(std::vector<float>{10});
  const double limit = observed_limit(with_outlier, Observer::kEntropy, 0);
  EXPECT_LT(limit, 2);
  EXPECT_GT(limit, 0.2);
}

TEST(Observers, Names) {
  for (const Observer observer : {Observer::kMinMax, Observer::kPercentile, Observer::kEntropy, Observer::kMse}) {
    EXPECT_EQ(observer_named(observer_name(observer)), observer);
  }
  EXPECT_THROW(observer_named("median"), Error);
}

}  // namespace
}  // namespace fettle
