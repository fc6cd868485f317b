#include "train/prune/weight_pruning.h"

#include <fettle/error.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/cancel.h"
#include "base/scratch_folder.h"
#include "graph/ops/gradient_check.h"
#include "train/prune/mask_graph.h"
#include "train/test_models.h"

namespace fettle {
namespace {

const std::vector<std::string> kLabels = {"red", "green", "blue", "one"};

WeightPruneOptions method(WeightMethod method, double target = 0.75) {
  WeightPruneOptions options;
  options.method = method;
  options.target = target;
  return options;
}

TrainOptions short_training(double epochs = 2) {
  TrainOptions options = test::toy_training(epochs);
  options.precision = Precision::kF32;
  return options;
}

TrainResult prune(Model& model, const WeightPruneOptions& options, const TrainOptions& training, bool distill = false) {
  const Dataset data = test::toy_data(160, 3);
  return prune_in_training(model, options, {.train = data, .options = training, .distill = distill});
}

// Of one matrix or of all, to the weight.
void expect_target(const Model& model, const WeightPruneOptions& options) {
  int64_t n = 0;
  int64_t zeros = 0;
  for (const MatrixSparsity& matrix : count_zeros(model, prunable_weights(model.config, options))) {
    n += matrix.n_weights;
    zeros += matrix.n_zeros;
    if (options.is_global()) continue;
    EXPECT_NEAR(static_cast<double>(matrix.n_zeros), options.target * static_cast<double>(matrix.n_weights), 1)
        << matrix.name;
  }
  if (!options.is_global()) return;
  EXPECT_NEAR(static_cast<double>(zeros), options.target * static_cast<double>(n), 1);
}

void expect_two_of_four(const Model& model, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const Tensor weight = model.parameters.get(name).decode();
    for (int64_t i = 0; i < weight.size(); i += 4) {
      const float* w = weight.data<float>() + i;
      ASSERT_EQ(std::count(w, w + 4, 0.0f), 2) << name << " at " << i;
    }
  }
}

// S gains lr · -(∂L/∂W') · W in a step of descent: it rises where W moves away from zero. By hand: W' = [2, -3], x = 1
// for both, target [5, 1], L = mean of squares; ∂L/∂W' = [-3, -4], so W moves to larger values; away from zero it is 2,
// towards zero it is -3.
TEST(Movement, AWeightThatMovesAwayFromZeroGainsScore) {
  TestGraph test;
  const ValueId weight = test.floats("weight", {2, -3}, {2, 1});
  const ValueId mask = test.floats("mask", {1, 1}, {2, 1});
  const ValueId scores = test.floats("scores", {0, 0}, {2, 1});
  const ValueId masked = test.graph.node("mask_weight", {weight, mask, scores});
  const ValueId y = test.graph.node("matmul", {test.floats("x", {1}, {1, 1}), masked}, {{"transpose_b", true}});
  const ValueId loss = test.graph.node("mean_squared_error", {y, test.floats("target", {5, 1}, {1, 2})});
  const std::vector<ValueId> gradients = differentiate(test.graph, loss, std::vector{weight, scores});
  expect_values(test.evaluate(gradients[0]), {-3, -4});
  expect_values(test.evaluate(gradients[1]), {-6, 12});  // descent adds 6 and takes 12
}

// What the mask hides gets no gradient, but its score still does.
TEST(Movement, MaskedWeightsAreScoredToo) {
  TestGraph test;
  const ValueId weight = test.floats("weight", {2, -3}, {2, 1});
  const ValueId mask = test.floats("mask", {0, 1}, {2, 1});
  const ValueId scores = test.floats("scores", {0, 0}, {2, 1});
  const ValueId masked = test.graph.node("mask_weight", {weight, mask, scores});
  const ValueId loss = test.graph.node("mean_squared_error", {masked, test.floats("target", {5, 1}, {2, 1})});
  const std::vector<ValueId> gradients = differentiate(test.graph, loss, std::vector{weight, scores});
  expect_values(test.evaluate(gradients[0]), {0, -4});
  expect_values(test.evaluate(gradients[1]), {-10, 12});
}

TEST(PrunableWeights, AreTheEncodersLinears) {
  const Model model = test::toy_model(kLabels);
  WeightPruneOptions options;
  EXPECT_EQ(prunable_weights(model.config, options).size(), 12u);
  options.embeddings = options.head = true;
  const std::vector<std::string> all = prunable_weights(model.config, options);
  EXPECT_EQ(all.front(), "bert.embeddings.word_embeddings.weight");
  EXPECT_EQ(all.back(), "classifier.weight");
  EXPECT_EQ(all.size(), 15u);
  ModelConfig albert = model.config;
  albert.architecture = Architecture::kAlbert;
  albert.embedding_size = 32;
  options.embeddings = options.head = false;
  EXPECT_EQ(prunable_weights(albert, options).size(), 6u);  // shared by the layers
}

TEST(PruneByMagnitude, MeetsTheTargetInEachMatrixOrInAll) {
  for (const bool global : {false, true}) {
    Model model = test::toy_model(kLabels);
    WeightPruneOptions options = method(WeightMethod::kMagnitude, 0.9);
    options.global = global;
    prune_by_magnitude(model, options);
    expect_target(model, options);
  }
}

TEST(PruneByMagnitude, KeepsTheLargestUntouched) {
  const Model original = test::toy_model(kLabels);
  Model model = original;
  const WeightPruneOptions options = method(WeightMethod::kMagnitude, 0.5);
  prune_by_magnitude(model, options);
  const std::string name = prunable_weights(model.config, options)[2];
  const Tensor before = original.parameters.get(name).decode();
  const Tensor after = model.parameters.get(name).decode();
  float smallest_kept = 1e9f;
  float largest_removed = 0;
  for (int64_t i = 0; i < before.size(); ++i) {
    const float w = before.data<float>()[i];
    if (after.data<float>()[i] == 0) {
      largest_removed = std::max(largest_removed, std::fabs(w));
    } else {
      ASSERT_EQ(after.data<float>()[i], w);
      smallest_kept = std::min(smallest_kept, std::fabs(w));
    }
  }
  EXPECT_LE(largest_removed, smallest_kept);
}

TEST(PruneByMagnitude, TakesWholeBlocks) {
  for (const WeightPattern pattern : {WeightPattern::kBlock4x1, WeightPattern::kBlock32x32}) {
    Model model = test::toy_model(kLabels);
    WeightPruneOptions options = method(WeightMethod::kMagnitude, 0.5);
    options.pattern = pattern;
    prune_by_magnitude(model, options);
    for (const std::string& name : prunable_weights(model.config, options)) {
      const Tensor weight = model.parameters.get(name).decode();
      const MaskBlocks blocks = blocks_of(weight.shape(), pattern);
      std::vector<int64_t> zeros(static_cast<size_t>(blocks.n_blocks()), 0);
      for (int64_t i = 0; i < weight.size(); ++i) {
        zeros[static_cast<size_t>(blocks.block_of(i))] += weight.data<float>()[i] == 0;
      }
      int64_t removed = 0;
      for (int64_t b = 0; b < blocks.n_blocks(); ++b) {
        const int64_t n = zeros[static_cast<size_t>(b)];
        ASSERT_TRUE(n == 0 || n == blocks.size_of(b)) << name << " block " << b;
        removed += n > 0;
      }
      EXPECT_EQ(removed, blocks.n_blocks() / 2) << name;
    }
  }
}

TEST(PruneByMagnitude, HasTwoOfEachFour) {
  Model model = test::toy_model(kLabels);
  WeightPruneOptions options = method(WeightMethod::kMagnitude, 0.5);
  options.pattern = WeightPattern::kTwoOfFour;
  prune_by_magnitude(model, options);
  expect_two_of_four(model, prunable_weights(model.config, options));
}

TEST(PruneByMagnitude, KeepsTheEncoding) {
  Model model = test::toy_model(kLabels);
  const std::string name = prunable_weights(model.config, {})[0];
  for (const Encoding& encoding : {Encoding::int8_channel(), Encoding::dense(DType::kBF16)}) {
    model.parameters.set(name, encode(model.parameters.get(name).decode(), encoding));
    const WeightPruneOptions options = method(WeightMethod::kMagnitude, 0.9);
    prune_by_magnitude(model, options);
    EXPECT_EQ(model.parameters.get(name).encoding, encoding);
    EXPECT_EQ(store_smallest(model, {name}), 1);
    EXPECT_EQ(model.parameters.get(name).encoding, Encoding::sparse(encoding, SparsePattern::kBitmask));
    prune_by_magnitude(model, options);  // what is sparse already
    const MatrixSparsity zeros = count_zeros(model, {name})[0];
    EXPECT_GE(zeros.n_zeros, static_cast<int64_t>(0.9 * static_cast<double>(zeros.n_weights)) - 1);
  }
}

TEST(PruneByMagnitude, RefusesWhatMustLearn) {
  Model model = test::toy_model(kLabels);
  expect_error(ErrorCode::kUsage, "needs training data",
               [&] { prune_by_magnitude(model, method(WeightMethod::kMovement)); });
}

TEST(WeightPruneOptions, MakeSense) {
  const auto refuse = [](const WeightPruneOptions& options, const char* text) {
    expect_error(ErrorCode::kUsage, text, [&] { check_options(options); });
  };
  WeightPruneOptions options;
  options.target = 1;
  refuse(options, "target");
  options = {};
  options.pattern = WeightPattern::kTwoOfFour;
  refuse(options, "2:4");
  options = {};
  options.begin = 0.7;
  refuse(options, "rising");
  options = {};
  options.target = std::numeric_limits<double>::quiet_NaN();
  refuse(options, "target");
  options.method = WeightMethod::kSoftMovement;
  check_options(options);
}

TEST(PruneInTraining, MeetsTheTargetByEveryMethod) {
  for (const WeightMethod which : {WeightMethod::kMagnitude, WeightMethod::kMovement, WeightMethod::kSoftMovement}) {
    SCOPED_TRACE(std::string(method_name(which)));
    Model model = test::toy_model(kLabels);
    const size_t n_parameters = model.parameters.names().size();
    const WeightPruneOptions options = method(which);
    prune(model, options, short_training());
    expect_target(model, options);
    EXPECT_EQ(model.parameters.names().size(), n_parameters);  // the scores are gone
    EXPECT_EQ(model.manifest["steps"].back()["verb"], "prune");
    EXPECT_EQ(model.manifest["steps"].back()["options"]["method"], method_name(which));
  }
}

// Gates of kept weights may be shut, so L0 removes at least what it was told.
TEST(PruneInTraining, GatesRemoveAtLeastTheTarget) {
  Model model = test::toy_model(kLabels);
  const WeightPruneOptions options = method(WeightMethod::kL0);
  prune(model, options, short_training());
  int64_t n = 0;
  int64_t zeros = 0;
  for (const MatrixSparsity& matrix : count_zeros(model, prunable_weights(model.config, options))) {
    n += matrix.n_weights;
    zeros += matrix.n_zeros;
  }
  EXPECT_GE(static_cast<double>(zeros), options.target * static_cast<double>(n) - 1);
  EXPECT_LT(zeros, n);
}

TEST(PruneInTraining, LearnsWhatAPrunedModelCan) {
  for (const WeightMethod which : {WeightMethod::kMagnitude, WeightMethod::kMovement}) {
    Model model = test::toy_model(kLabels);
    const Dataset data = test::toy_data(320, 3);
    const Dataset eval = test::toy_data(100, 4);
    const TrainResult result =
        prune_in_training(model, method(which, 0.5), {.train = data, .eval = &eval, .options = test::toy_training(10)});
    EXPECT_GT(result.accuracy, 0.9) << method_name(which);
  }
}

TEST(PruneInTraining, HoldsPatterns) {
  Model model = test::toy_model(kLabels);
  WeightPruneOptions options = method(WeightMethod::kMovement, 0.5);
  options.pattern = WeightPattern::kTwoOfFour;
  prune(model, options, short_training(1));
  expect_two_of_four(model, prunable_weights(model.config, options));
  Model blocks = test::toy_model(kLabels);
  options.pattern = WeightPattern::kBlock4x1;
  prune(blocks, options, short_training(1));
  expect_target(blocks, options);
}

// Interrupted wherever the run looks for it, before the masks stay and after, and resumed on another number of threads:
// scores, masks and moments are in the checkpoint.
TEST(PruneInTraining, ResumesToTheSameBytes) {
  for (const WeightMethod which : {WeightMethod::kMagnitude, WeightMethod::kSoftMovement, WeightMethod::kL0}) {
    SCOPED_TRACE(std::string(method_name(which)));
    const auto run = [&](const TrainOptions& training) {
      Model model = test::toy_model(kLabels);
      prune(model, method(which), training);
      return test::weight_bytes(model);
    };
    const std::string whole = run(short_training());  // 20 steps
    for (const int64_t looks : {2, 9, 15, 18}) {
      SCOPED_TRACE(looks);
      const ScratchFolder folder;
      TrainOptions training = short_training();
      training.checkpoint_folder = folder / "run";
      training.checkpoint_every = 1000;
      request_cancel_after(looks);
      expect_error(ErrorCode::kInterrupted, "interrupted", [&] { run(training); });
      clear_cancel();
      training.resume = true;
      training.n_threads = 2;
      EXPECT_TRUE(run(training) == whole);
    }
  }
}

TEST(PruneInTraining, IsTheSameAtAnyNumberOfThreads) {
  for (const WeightMethod which : {WeightMethod::kMovement, WeightMethod::kL0}) {
    Model one = test::toy_model(kLabels);
    Model two = test::toy_model(kLabels);
    TrainOptions training = short_training(1);
    prune(one, method(which), training);
    training.n_threads = 2;
    prune(two, method(which), training);
    EXPECT_EQ(test::weight_bytes(one), test::weight_bytes(two)) << method_name(which);
  }
}

TEST(PruneInTraining, CombinesWithTheOtherOptionsOfTraining) {
  const WeightPruneOptions options = method(WeightMethod::kMovement);
  TrainOptions plain = short_training(1);
  Model reference = test::toy_model(kLabels);
  prune(reference, options, plain);
  {
    TrainOptions training = plain;
    training.gradient_checkpointing = true;
    Model model = test::toy_model(kLabels);
    prune(model, options, training);
    EXPECT_EQ(test::weight_bytes(model), test::weight_bytes(reference));
  }
  TrainOptions training = plain;
  training.ema_decay = 0.9;
  training.gradient_accumulation = 2;
  training.layer_decay = 0.9;
  Model averaged = test::toy_model(kLabels);
  prune(averaged, options, training);
  expect_target(averaged, options);
  Model distilled = test::toy_model(kLabels);
  prune(distilled, options, plain, /*distill=*/true);
  expect_target(distilled, options);
  EXPECT_EQ(distilled.manifest["steps"].back()["options"]["distill"], true);
  WeightPruneOptions all = options;
  all.embeddings = all.head = true;
  Model everything = test::toy_model(kLabels);
  prune(everything, all, plain);
  expect_target(everything, all);
}

// Accuracies of epochs in which more weights are left do not count.
TEST(PruneInTraining, KeepsTheBestOfTheEpochsAtTheTarget) {
  Model model = test::toy_model(kLabels);
  const Dataset data = test::toy_data(160, 3);
  const Dataset eval = test::toy_data(60, 4);
  const WeightPruneOptions options = method(WeightMethod::kMagnitude, 0.97);
  const TrainResult result =
      prune_in_training(model, options, {.train = data, .eval = &eval, .options = short_training(5)});
  ASSERT_EQ(result.epochs.size(), 5u);
  double best = 0;
  for (size_t e = 2; e < 5; ++e) best = std::max(best, result.epochs[e].accuracy);
  EXPECT_DOUBLE_EQ(result.accuracy, best);
  expect_target(model, options);
}

// Without a target the threshold on σ(S) and the penalty decide: the heavier the penalty, the less is left.
TEST(PruneInTraining, ThePenaltyDecidesWhereThereIsNoTarget) {
  std::vector<int64_t> zeros;
  for (const double penalty : {0.0, 1e4}) {
    WeightPruneOptions options = method(WeightMethod::kSoftMovement, std::numeric_limits<double>::quiet_NaN());
    options.penalty = penalty;
    options.score_learning_rate = 0.5;
    options.end = 0.9;
    Model model = test::toy_model(kLabels);
    prune(model, options, short_training());
    zeros.push_back(0);
    for (const MatrixSparsity& matrix : count_zeros(model, prunable_weights(model.config, options))) {
      zeros.back() += matrix.n_zeros;
    }
  }
  EXPECT_GT(zeros[1], zeros[0]);
}

}  // namespace
}  // namespace fettle
