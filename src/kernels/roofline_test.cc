#include "kernels/roofline.h"

#include <gtest/gtest.h>

#include "kernels/dispatch.h"

namespace fettle {
namespace {

TEST(Roofline, PeaksOfEveryTableArePlausible) {
  ThreadPool pool(1);
  for (const KernelTable* table : supported_tables()) {
    const Roofline peaks = measure_peaks(*table, pool, 1);
    for (const double peak : {peaks.peak_f32_gflops, peaks.peak_bf16_gflops, peaks.peak_int8_gops}) {
      EXPECT_GT(peak, 0.01) << table->name;
      EXPECT_LT(peak, 1e5) << table->name;  // more means that the loop was optimized away
    }
  }
}

TEST(Roofline, BandwidthIsPlausible) {
  ThreadPool pool(2);
  const Roofline roofline = measure_roofline(table_named("reference"), pool);
  EXPECT_GT(roofline.bandwidth_gb_s, 0.05);
  EXPECT_LT(roofline.bandwidth_gb_s, 2e3);
}

}  // namespace
}  // namespace fettle
