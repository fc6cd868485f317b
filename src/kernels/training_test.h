// What the tests of training kernels share: values, how far two results are apart, and a fixture run on every table.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/philox.h"
#include "kernels/dispatch.h"

namespace fettle {

using Floats = std::vector<float>;

inline Floats normal_values(int64_t n, uint64_t seed, float spread = 1) {
  Philox random(seed);
  Floats values(static_cast<size_t>(n));
  for (float& value : values) value = spread * random.normal();
  return values;
}

// Largest |a - b| / (|b| + 1); NaN in one alone is infinite.
inline double difference(const Floats& a, const Floats& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] == b[i]) continue;
    const double d = std::abs(static_cast<double>(a[i]) - b[i]) / (std::abs(b[i]) + 1.0);
    worst = std::isnan(d) ? INFINITY : std::max(worst, d);
  }
  return worst;
}

inline const KernelTable& reference() {
  return table_named("reference");
}

class Training : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& table() const { return *GetParam(); }
  ThreadPool pool_{2};
};

inline auto every_table() {
  return testing::ValuesIn(supported_tables().begin(), supported_tables().end());
}

inline std::string name_of_table(const testing::TestParamInfo<const KernelTable*>& info) {
  return std::string(info.param->name);
}

}  // namespace fettle
