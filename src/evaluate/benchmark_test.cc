// The benchmark's bookkeeping: how many runs are counted, what is measured with data and without, bad options.
#include "evaluate/benchmark.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/cancel.h"
#include "base/error.h"
#include "evaluate/profile.h"

namespace fettle {
namespace {

std::shared_ptr<const Model> toy_model(uint64_t seed) {
  const auto tokenizer = Tokenizer::from_vocab({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "blue"});
  ModelConfig config = make_encoder_config(1, 32, tokenizer->vocab_size());
  for (LayerConfig& layer : config.layers) layer = {.n_heads = 2, .head_dim = 16, .intermediate_size = 64};
  config.max_positions = 8;
  config.labels = {"a", "b"};
  return std::make_shared<const Model>(make_model(config, tokenizer, seed));
}

std::vector<Candidate> two_models() {
  return {{.name = "first", .model = toy_model(1), .size_mb = 2, .session = {.n_threads = 1}},
          {.name = "second", .model = toy_model(2), .size_mb = 1, .session = {.n_threads = 1}}};
}

TEST(Benchmark, EveryNumberOfRunsGivesPlausibleTimes) {
  for (const int64_t runs : {1, 9, 10, 11, 25}) {
    for (const int64_t warmup : {0, 1, 12}) {
      const auto results =
          benchmark(two_models(), nullptr, {.query = "red", .warmup = warmup, .runs = runs, .session = {}});
      ASSERT_EQ(results.size(), 2u);
      for (const BenchmarkResult& result : results) {
        EXPECT_EQ(result.latency.n_runs, runs) << warmup;
        EXPECT_GT(result.latency.p50_ms, 0) << runs;
        EXPECT_LE(result.latency.p50_ms, result.latency.p90_ms) << runs;
        EXPECT_LE(result.latency.p90_ms, result.latency.p99_ms) << runs;
        EXPECT_EQ(result.latency.std_ms == 0, runs == 1) << runs;
        EXPECT_FALSE(result.has_quality);
        EXPECT_NEAR(result.samples_per_s, 1e3 / result.latency.p50_ms, 1e-6);
      }
      EXPECT_EQ(results[0].name, "first");
      EXPECT_EQ(results[1].size_mb, 1);
    }
  }
}

TEST(Benchmark, WithDataItMeasuresQualityToo) {
  Dataset data;
  data.labels = {"a", "b"};
  for (const char* text : {"red", "blue", "red blue"}) data.examples.push_back({text, "", 0});
  const auto results = benchmark(two_models(), &data, {.query = "red", .runs = 3, .session = {}});
  for (const BenchmarkResult& result : results) {
    ASSERT_TRUE(result.has_quality);
    int64_t right = 0;
    for (const int32_t label : result.predictions.labels) right += label == 0;
    EXPECT_NEAR(result.quality.accuracy, static_cast<double>(right) / 3, 1e-12);
  }
}

TEST(Benchmark, RooflineRatioIsTheMedianOverTheLimit) {
  const Roofline limits{.bandwidth_gb_s = 1, .peak_f32_gflops = 1, .peak_bf16_gflops = 1, .peak_int8_gops = 1};
  Roofline twice = limits;
  twice.bandwidth_gb_s = twice.peak_f32_gflops = 2;
  const BenchmarkOptions options{.query = "red blue", .runs = 3, .session = {}, .limits = limits};
  const BenchmarkResult result = benchmark(two_models(), nullptr, options)[0];
  Session session(toy_model(1), {.n_threads = 1});
  const std::vector<std::string> texts = {"red blue"};
  const double limit_ms = least_ms_of(session, texts, limits);
  EXPECT_NEAR(result.roofline_ratio, result.latency.p50_ms / limit_ms, 1e-9);
  Session other(toy_model(1), {.n_threads = 1});
  EXPECT_NEAR(least_ms_of(other, texts, twice), limit_ms / 2, 1e-12);
  // More than half of the limit is that of four tokens' products: one layer of 32 · (4 · 32 + 2 · 64) weights.
  EXPECT_GT(limit_ms, 4 * 2 * 32 * (32 * 2) / 1e6);
  EXPECT_EQ(benchmark(two_models(), nullptr, {.runs = 1, .session = {}})[0].roofline_ratio, -1);
}

TEST(Benchmark, BadOptionsAndCtrlCEndIt) {
  EXPECT_THROW(benchmark(two_models(), nullptr, {.runs = 0, .session = {}}), Error);
  EXPECT_THROW(benchmark(two_models(), nullptr, {.warmup = -1, .session = {}}), Error);
  request_cancel();
  EXPECT_THROW(benchmark(two_models(), nullptr, {.runs = 1, .session = {}}), Error);
  clear_cancel();
}

}  // namespace
}  // namespace fettle
