// Training that is interrupted wherever it looks for an interruption, and resumed.
#include <gtest/gtest.h>

#include <functional>

#include "base/cancel.h"
#include "base/error.h"
#include "base/log.h"
#include "base/scratch_folder.h"
#include "train/pretrain.h"
#include "train/test_models.h"
#include "train/trainer.h"

namespace fettle {
namespace {

using test::toy_data;
using test::toy_model;
using test::weight_bytes;

// Trains from the beginning and returns the weights.
using Run = std::function<std::string(const TrainOptions&)>;

// As it is without accumulation: 3 batches of 16, then a short one, in each epoch.
TrainOptions options_for_interruption() {
  TrainOptions options = test::toy_training(3);
  options.dropout = 0.1;
  return options;
}

std::string run_classifier(const TrainOptions& options) {
  const Dataset train = toy_data(56, 1);
  const Dataset eval = toy_data(12, 2);
  Model model = toy_model(train.labels);
  train_classifier(model, train, &eval, options);
  return weight_bytes(model);
}

std::string run_distillation(const TrainOptions& options) {
  Dataset train = toy_data(56, 1);
  for (size_t i = 0; i < 20; ++i) train.examples[i].label = kUnlabelled;
  const Dataset eval = toy_data(12, 2);
  Model model = toy_model(train.labels);
  distill(model, {std::make_shared<const Model>(toy_model(train.labels, 9))}, train, &eval, options);
  return weight_bytes(model);
}

std::string run_feature_distillation(const TrainOptions& options) {
  Dataset train = toy_data(56, 1);
  for (size_t i = 0; i < 20; ++i) train.examples[i].label = kUnlabelled;
  Model model = toy_model(train.labels, 1, 1, 32);
  DistillOptions distillation{.match = parse_match("logits,hidden,attention,values,embeddings")};
  distill(model, {std::make_shared<const Model>(toy_model(train.labels, 9))}, train, nullptr, options, distillation);
  return weight_bytes(model);
}

std::vector<std::string> toy_texts() {
  std::vector<std::string> texts;
  for (int i = 0; i < 90; ++i)
    texts.push_back(i % 3 == 0 ? "the big red house" : i % 3 == 1 ? "a small green tree" : "");
  return texts;
}

std::string run_pretraining(const TrainOptions& options) {
  Model model = toy_model({});
  pretrain_masked_lm(model, toy_texts(), options);
  return weight_bytes(model);
}

std::string run_pretraining_with_a_teacher(const TrainOptions& options) {
  Model teacher = toy_model({}, 9);
  add_missing_head(teacher, 9);
  Model model = toy_model({}, 1, 1, 32);
  distill_masked_lm(model, teacher, toy_texts(), options);
  return weight_bytes(model);
}

bool is_interrupted(const Run& run, const TrainOptions& options) {
  try {
    run(options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInterrupted) << error.what();
    return true;
  }
  return false;
}

// Interrupts after 0, 1, 2, … looks until the run is through; resumes each time, on another number of threads.
void expect_same_after_interruptions(const Run& run, TrainOptions options, int64_t stride) {
  const std::string whole = run(options);
  int64_t n_resumed = 0;
  bool interrupted = true;
  for (int64_t looks = 0; interrupted; looks += stride) {
    SCOPED_TRACE("interrupted after " + std::to_string(looks) + " looks");
    const ScratchFolder folder;
    options.checkpoint_folder = folder / "run";
    options.resume = false;
    options.n_threads = 1 + static_cast<int>(looks % 2);
    request_cancel_after(looks);
    interrupted = is_interrupted(run, options);
    clear_cancel();
    if (!interrupted) break;
    n_resumed += std::filesystem::exists(options.checkpoint_folder / "checkpoint" / "state.json");
    options.resume = true;
    options.n_threads = 3 - options.n_threads;
    ASSERT_EQ(whole, run(options));
  }
  EXPECT_GT(n_resumed, 4);
}

class Interruption : public testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kWarning); }
  void TearDown() override { clear_cancel(); }
};

TEST_F(Interruption, OfFineTuning) {
  expect_same_after_interruptions(run_classifier, options_for_interruption(), 1);
}

TEST_F(Interruption, OfFineTuningWithAccumulationAndEarlyStopping) {
  TrainOptions options = options_for_interruption();
  options.epochs = 40;
  options.batch_size = 8;
  options.gradient_accumulation = 3;
  options.label_smoothing = 0.1;
  options.early_stopping_patience = 2;
  options.checkpoint_every = 1000;
  expect_same_after_interruptions(run_classifier, options, 2);
}

TEST_F(Interruption, OfFineTuningWithEverythingElse) {
  TrainOptions options = options_for_interruption();
  options.ema_decay = 0.9;
  options.layer_decay = 0.8;
  options.class_weights.balanced = true;
  options.gradient_checkpointing = true;
  options.schedule = Schedule::kCosine;
  expect_same_after_interruptions(run_classifier, options, 1);
  options.keep_best = false;
  expect_same_after_interruptions(run_classifier, options, 3);
}

TEST_F(Interruption, OfDistillation) {
  expect_same_after_interruptions(run_distillation, options_for_interruption(), 2);
}

TEST_F(Interruption, OfDistillationOfFeatures) {
  expect_same_after_interruptions(run_feature_distillation, options_for_interruption(), 3);
}

TEST_F(Interruption, OfDistillationInPretraining) {
  TrainOptions options = options_for_interruption();
  options.batch_size = 4;
  expect_same_after_interruptions(run_pretraining_with_a_teacher, options, 3);
}

TEST_F(Interruption, OfPretraining) {
  TrainOptions options = options_for_interruption();
  options.batch_size = 4;
  options.gradient_accumulation = 2;
  expect_same_after_interruptions(run_pretraining, options, 1);
}

// What is written is where the run stood, not the last checkpoint of --checkpoint-every.
TEST_F(Interruption, LeavesACheckpointOfItsStep) {
  const ScratchFolder folder;
  TrainOptions options = options_for_interruption();
  options.checkpoint_folder = folder / "run";
  options.checkpoint_every = 1000;
  request_cancel_after(5);
  EXPECT_TRUE(is_interrupted(run_pretraining, options));
  clear_cancel();
  const Json state = read_json(options.checkpoint_folder / "checkpoint" / "state.json").at("state");
  EXPECT_GT(state.at("step").get<int64_t>(), 1);
  EXPECT_FALSE(state.at("finished").get<bool>());
}

}  // namespace
}  // namespace fettle
