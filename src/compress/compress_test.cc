// The main job on a toy: what is tried, what is measured, what is chosen.
#include "compress/compress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/scratch_folder.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using testing::HasSubstr;

TrainOptions quick_training() {
  TrainOptions options = test::toy_training();
  options.seed = 3;
  return options;
}

CompressOptions quick_options() {
  CompressOptions options;
  options.train = quick_training();
  options.students = {"layers=0"};
  options.benchmark.query = "the red house";
  options.benchmark.warmup = 1;
  options.benchmark.runs = 5;
  options.benchmark.session.n_threads = 1;
  options.max_drop = 100;
  return options;
}

class Compress : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto model = std::make_shared<Model>(test::toy_model({"red", "green", "blue", "one"}));
    const Dataset train = test::toy_data(400, 1);
    train_classifier(*model, train, nullptr, quick_training());
    teacher_ = model;
  }
  static void TearDownTestSuite() { teacher_.reset(); }
  static CompressResult run(const CompressOptions& options) {
    return compress(teacher_, test::toy_data(400, 1), test::toy_data(100, 2), test::toy_data(200, 3), options);
  }
  static std::shared_ptr<const Model> teacher_;
};
std::shared_ptr<const Model> Compress::teacher_;

TEST_F(Compress, TriesEveryFormAndMeasuresIt) {
  const CompressResult result = run(quick_options());
  ASSERT_EQ(result.candidates.size(), 5u) << "baseline twice, its int8, a student, its int8";
  const CompressCandidate& baseline = result.candidates[0];
  EXPECT_GT(baseline.measured.quality.accuracy, 0.9) << "the toy is easy";
  EXPECT_EQ(baseline.latency_ratio, 1);
  for (const CompressCandidate& candidate : result.candidates) {
    EXPECT_GT(candidate.measured.latency.p50_ms, 0) << candidate.name;
    EXPECT_EQ(candidate.measured.quality.n, 200) << candidate.name;
    EXPECT_TRUE(candidate.meets_limits) << candidate.name;
  }
  EXPECT_EQ(result.candidates[1].measured.predictions.labels, baseline.measured.predictions.labels);
  EXPECT_GT(result.candidates[2].size_ratio, 2) << "int8, norms and biases in f32";
  EXPECT_GT(result.candidates[3].size_ratio, 1.3) << "half the layers";
  EXPECT_EQ(result.candidates[3].model->config.layers.size(), 1u);
  EXPECT_THAT(result.candidates[4].recipe, HasSubstr("distill"));
  EXPECT_THAT(result.candidates[4].recipe, HasSubstr("quantize"));
  ASSERT_GE(result.best, 0);
}

TEST_F(Compress, BestIsTheFastestWithinTheLimits) {
  const CompressResult result = run(quick_options());
  const double best_ms = result.candidates[static_cast<size_t>(result.best)].measured.latency.p50_ms;
  for (const CompressCandidate& candidate : result.candidates) {
    const bool worse =
        candidate.against_baseline.accuracy_difference < 0 && candidate.against_baseline.mcnemar_p < 0.05;
    if (!worse) {
      EXPECT_LE(best_ms, candidate.measured.latency.p50_ms) << candidate.name;
    }
  }
}

TEST_F(Compress, NamesTheNearestWhenNoneMeetsTheLimits) {
  CompressOptions options = quick_options();
  options.max_mb = 1e-6;
  const CompressResult result = run(options);
  EXPECT_EQ(result.best, -1);
  // All miss by the same rule, so the smallest is the nearest.
  ASSERT_GE(result.nearest, 0);
  const double nearest_mb = result.candidates[static_cast<size_t>(result.nearest)].measured.size_mb;
  for (const CompressCandidate& candidate : result.candidates) {
    EXPECT_FALSE(candidate.meets_limits);
    EXPECT_LE(nearest_mb, candidate.measured.size_mb);
  }
}

TEST_F(Compress, FrontHoldsWhatNothingDominates) {
  const CompressResult result = run(quick_options());
  for (const CompressCandidate& a : result.candidates) {
    for (const CompressCandidate& b : result.candidates) {
      const BenchmarkResult& x = a.measured;
      const BenchmarkResult& y = b.measured;
      const bool dominated =
          y.size_mb < x.size_mb && y.latency.p50_ms < x.latency.p50_ms && y.quality.accuracy > x.quality.accuracy;
      if (dominated) {
        EXPECT_FALSE(a.on_front) << a.name << " by " << b.name;
      }
    }
  }
}

TEST_F(Compress, StudentsInTheWorkFolderAreTakenUpAgain) {
  const ScratchFolder scratch;
  CompressOptions options = quick_options();
  options.work_folder = scratch.path() / "work";
  const CompressResult first = run(options);
  ASSERT_FALSE(std::filesystem::is_empty(options.work_folder));
  const CompressResult again = run(options);
  EXPECT_TRUE(first.candidates[3].measured.predictions.logits == again.candidates[3].measured.predictions.logits);
}

TEST_F(Compress, UnlabelledTestDataIsRefused) {
  Dataset test = test::toy_data(10, 3);
  test.examples[4].label = kUnlabelled;
  EXPECT_THROW(compress(teacher_, test::toy_data(20, 1), test::toy_data(20, 2), test, quick_options()), Error);
}

}  // namespace
}  // namespace fettle
