#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/scratch_folder.h"
#include "train/classify.h"
#include "train/loop.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using test::toy_data;
using test::toy_model;
using test::weight_bytes;

class TrainerTest : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kWarning); }
  void TearDown() override { clear_cancel(); }
};
using TrainClassifier = TrainerTest;
using Checkpoints = TrainerTest;
using Pretrain = TrainerTest;
using Distill = TrainerTest;

TrainOptions toy_options() {
  TrainOptions options = test::toy_training();
  options.warmup_ratio = 0.1;
  return options;
}

std::vector<std::string> toy_texts() {
  std::vector<std::string> texts;
  for (int i = 0; i < 64; ++i) {
    texts.push_back("the big red house");
    texts.push_back("a small green tree");
    if (i % 4 == 3) texts.push_back("");
  }
  return texts;
}

std::string train_bytes(TrainOptions options) {
  const Dataset train = toy_data(96, 1);
  const Dataset eval = toy_data(32, 2);
  Model model = toy_model(train.labels);
  train_classifier(model, train, &eval, options);
  return weight_bytes(model);
}

ErrorCode error_code(const std::function<void()>& work, std::string* message = nullptr) {
  try {
    work();
  } catch (const Error& error) {
    if (message != nullptr) *message = error.what();
    return error.code();
  }
  return ErrorCode{0};
}

TEST_F(TrainClassifier, LearnsAToyTask) {
  const Dataset train = toy_data(256, 1);
  const Dataset eval = toy_data(64, 2);
  for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
    Model model = toy_model(train.labels);
    model.oos_threshold = 0.5;
    TrainOptions options = toy_options();
    options.precision = precision;
    const TrainResult result = train_classifier(model, train, &eval, options);
    EXPECT_EQ(result.accuracy, 1.0);
    EXPECT_EQ(result.steps, 96);
    EXPECT_EQ(result.samples, 6 * 256);
    ASSERT_EQ(result.epochs.size(), 6u);
    EXPECT_LT(result.epochs.back().loss, 0.3 * result.epochs.front().loss);
    EXPECT_EQ(result.curve.back().step, 96);
    EXPECT_EQ(model.manifest["steps"][0]["verb"], "train");
    EXPECT_TRUE(std::isnan(model.oos_threshold)) << "fitted before training";
  }
}

TEST_F(TrainClassifier, SameBytesAtAnyNumberOfThreads) {
  TrainOptions options = toy_options();
  options.epochs = 1.5;
  const std::string once = train_bytes(options);
  EXPECT_EQ(once, train_bytes(options));
  options.n_threads = 2;
  EXPECT_EQ(once, train_bytes(options));
  options.n_threads = 5;
  EXPECT_EQ(once, train_bytes(options));
  options.seed = 6;
  EXPECT_NE(once, train_bytes(options));
}

TEST_F(TrainClassifier, AccumulatedBatchesAreTheWholeBatch) {
  TrainOptions options = toy_options();
  options.epochs = 2;
  options.dropout = 0;
  options.precision = Precision::kF32;
  options.learning_rate = 1e-3;
  options.adam_eps = 1e-3;                 // so that rounding does not decide directions
  const Dataset train = toy_data(100, 1);  // the last batch is short
  Model whole = toy_model(train.labels);
  train_classifier(whole, train, nullptr, options);
  options.batch_size = 8;
  options.gradient_accumulation = 2;
  Model parts = toy_model(train.labels);
  const TrainResult result = train_classifier(parts, train, nullptr, options);
  EXPECT_EQ(result.steps, 14);
  for (const std::string& name : whole.parameters.names()) {
    const Tensor a = whole.parameters.get(name).decode();
    const Tensor b = parts.parameters.get(name).decode();
    for (int64_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a.data<float>()[i], b.data<float>()[i], 2e-5) << name;
  }
}

TEST_F(TrainClassifier, KeepsTheBestAndStopsEarly) {
  const Dataset train = toy_data(256, 1);
  const Dataset eval = toy_data(64, 2);
  Model model = toy_model(train.labels);
  TrainOptions options = toy_options();
  options.epochs = 30;
  options.early_stopping_patience = 2;
  const TrainResult result = train_classifier(model, train, &eval, options);
  EXPECT_TRUE(result.stopped_early);
  EXPECT_LT(result.epochs.size(), 30u);
  double best = -1;
  for (const EpochRecord& record : result.epochs) best = std::max(best, record.accuracy);
  EXPECT_EQ(result.accuracy, best);
}

double accuracy_of(const Model& model, const Dataset& data, const TrainOptions& options) {
  Machine machine(options);
  return LogitsRunner(model, options, machine).accuracy(prepare(model, data, options.max_length), 16);
}

// At a rate so high that the accuracy goes up and down.
TEST_F(TrainClassifier, EndsWithTheWeightsOfTheBestEpoch) {
  const Dataset train = toy_data(64, 1);
  const Dataset eval = toy_data(64, 2);
  TrainOptions options = toy_options();
  options.learning_rate = 1.5e-2;
  options.schedule = Schedule::kConstant;
  int n_declined = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    options.seed = seed;
    Model model = toy_model(train.labels);
    const TrainResult result = train_classifier(model, train, &eval, options);
    double best = -1;
    for (const EpochRecord& record : result.epochs) best = std::max(best, record.accuracy);
    EXPECT_EQ(accuracy_of(model, eval, options), best);
    n_declined += result.epochs.back().accuracy < best;
  }
  EXPECT_GT(n_declined, 0) << "the last epoch was the best each time";
}

TEST_F(TrainClassifier, LabelsAreMatchedByName) {
  Dataset train = toy_data(64, 1);
  Model model = toy_model({"one", "blue", "unused", "green", "red"});
  TrainOptions options = toy_options();
  options.epochs = 20;
  EXPECT_EQ(train_classifier(model, train, &train, options).accuracy, 1.0);
  train.labels[1] = "violet";
  std::string message;
  EXPECT_EQ(error_code([&] { train_classifier(model, train, nullptr, options); }, &message), ErrorCode::kBadInput);
  EXPECT_NE(message.find("'violet'"), std::string::npos) << message;
}

TEST_F(TrainClassifier, RefusesWhatItCannotTrainOn) {
  Model model = toy_model({"red", "green", "blue", "one"});
  const TrainOptions options = toy_options();
  EXPECT_EQ(error_code([&] { train_classifier(model, Dataset{.labels = {"red"}}, nullptr, options); }),
            ErrorCode::kBadInput);
  Dataset unlabelled = toy_data(4, 1);
  unlabelled.examples[2].label = kUnlabelled;
  EXPECT_EQ(error_code([&] { train_classifier(model, unlabelled, nullptr, options); }), ErrorCode::kBadInput);
  TrainOptions bad = options;
  bad.batch_size = 0;
  EXPECT_EQ(error_code([&] { train_classifier(model, toy_data(4, 1), nullptr, bad); }), ErrorCode::kUsage);
  Model headless = toy_model({});
  EXPECT_EQ(error_code([&] { train_classifier(headless, toy_data(4, 1), nullptr, options); }), ErrorCode::kBadInput);
}

TEST_F(TrainClassifier, SaysWhenTheLossExplodes) {
  const Dataset train = toy_data(64, 1);
  Model model = toy_model(train.labels);
  TrainOptions options = toy_options();
  options.learning_rate = 1e30;
  options.warmup_ratio = 0;
  std::string message;
  EXPECT_EQ(error_code([&] { train_classifier(model, train, nullptr, options); }, &message), ErrorCode::kFailed);
  EXPECT_NE(message.find("not finite at step"), std::string::npos) << message;
}

TEST_F(TrainClassifier, EmptyAndHugeTexts) {
  Dataset train = toy_data(16, 1);
  train.examples[0].text = "";
  train.examples[1].text.assign(size_t{1} << 20, 'x');
  train.examples[2].text.assign(100, '\0');
  train.examples[3].text_pair = "the tree";
  Model model = toy_model(train.labels);
  TrainOptions options = toy_options();
  options.epochs = 1;
  EXPECT_EQ(train_classifier(model, train, &train, options).steps, 1);
}

// Cancels when the checkpoint of some step appears, as Ctrl-C in the middle does.
void interrupt_once(const std::function<void()>& work, const std::filesystem::path& state) {
  std::atomic<bool> done = false;
  std::thread watcher([&] {
    while (!done && !std::filesystem::exists(state)) std::this_thread::yield();
    request_cancel();
  });
  EXPECT_EQ(error_code(work), ErrorCode::kInterrupted);
  done = true;
  watcher.join();
  clear_cancel();
}

TEST_F(Checkpoints, ResumedRunGivesTheSameBytes) {
  ScratchFolder folder;
  for (const int64_t accumulation : {1, 3}) {
    TrainOptions options = toy_options();
    options.epochs = 12;
    options.gradient_accumulation = accumulation;
    options.early_stopping_patience = 100;
    const std::string whole = train_bytes(options);
    options.checkpoint_folder = folder / ("run" + std::to_string(accumulation));
    options.checkpoint_every = 1;
    interrupt_once([&] { train_bytes(options); }, options.checkpoint_folder / "checkpoint" / "state.json");
    options.resume = true;
    options.n_threads = 2;
    options.checkpoint_every = 7;
    EXPECT_EQ(whole, train_bytes(options));
    EXPECT_EQ(whole, train_bytes(options));  // a finished run is only read
  }
}

TEST_F(Checkpoints, InterruptedAtOnceAndPretraining) {
  ScratchFolder folder;
  TrainOptions options = toy_options();
  options.epochs = 3;
  options.checkpoint_folder = folder / "run";
  Model whole = toy_model({});
  pretrain_masked_lm(whole, toy_texts(), options);

  options.checkpoint_folder = folder / "interrupted";
  Model model = toy_model({});
  request_cancel();
  EXPECT_EQ(error_code([&] { pretrain_masked_lm(model, toy_texts(), options); }), ErrorCode::kInterrupted);
  clear_cancel();
  options.checkpoint_every = 2;
  Model again = toy_model({});
  interrupt_once([&] { pretrain_masked_lm(again, toy_texts(), options); },
                 options.checkpoint_folder / "checkpoint" / "state.json");
  options.resume = true;
  Model resumed = toy_model({});
  const TrainResult result = pretrain_masked_lm(resumed, toy_texts(), options);
  EXPECT_EQ(weight_bytes(whole), weight_bytes(resumed));
  EXPECT_EQ(result.epochs.size(), 3u);
}

TEST_F(Checkpoints, RefuseAnotherRun) {
  ScratchFolder folder;
  TrainOptions options = toy_options();
  options.epochs = 1;
  options.checkpoint_folder = folder / "run";
  train_bytes(options);
  options.resume = true;
  std::string message;
  TrainOptions other = options;
  other.learning_rate = 1e-3;
  EXPECT_EQ(error_code([&] { train_bytes(other); }, &message), ErrorCode::kBadInput);
  EXPECT_NE(message.find("learning_rate"), std::string::npos) << message;
  const auto with = [&](const Dataset& train, uint64_t model_seed) {
    Model model = toy_model(train.labels, model_seed);
    const Dataset eval = toy_data(32, 2);
    train_classifier(model, train, &eval, options);
  };
  EXPECT_EQ(error_code([&] { with(toy_data(96, 3), 1); }, &message), ErrorCode::kBadInput);
  EXPECT_NE(message.find("another data"), std::string::npos) << message;
  EXPECT_EQ(error_code([&] { with(toy_data(96, 1), 2); }, &message), ErrorCode::kBadInput);
  EXPECT_NE(message.find("another starting_model"), std::string::npos) << message;
  EXPECT_EQ(error_code([&] { with(toy_data(96, 1), 1); }), ErrorCode{0});
}

TEST_F(Checkpoints, DamagedOnesAreRefused) {
  ScratchFolder folder;
  TrainOptions options = toy_options();
  options.epochs = 1;
  options.checkpoint_folder = folder / "run";
  train_bytes(options);
  options.resume = true;
  const auto state = options.checkpoint_folder / "checkpoint" / "state.json";
  const auto tensors = options.checkpoint_folder / "checkpoint" / "tensors.safetensors";
  const std::string good = read_file(state);
  for (const std::string& bad :
       {std::string(), std::string("[]"), std::string("{}"), good.substr(0, good.size() / 2)}) {
    std::ofstream(state, std::ios::binary) << bad;
    EXPECT_EQ(error_code([&] { train_bytes(options); }), ErrorCode::kBadInput) << bad;
  }
  std::ofstream(state, std::ios::binary) << good;
  std::filesystem::resize_file(tensors, 1000);
  EXPECT_EQ(error_code([&] { train_bytes(options); }), ErrorCode::kBadInput);
}

TEST_F(Pretrain, LossFalls) {
  Model model = toy_model({});
  TrainOptions options = toy_options();
  options.epochs = 40;
  const TrainResult result = pretrain_masked_lm(model, toy_texts(), options);
  EXPECT_LT(result.epochs.back().loss, 0.5 * result.epochs.front().loss);
  double hits = 0;
  for (size_t i = 20; i < result.curve.size(); ++i) hits += result.curve[i].accuracy > 0.4;
  EXPECT_GT(hits, 5);
  EXPECT_TRUE(model.parameters.has("cls.predictions.bias"));
  EXPECT_EQ(model.manifest["steps"][0]["verb"], "pretrain");
}

TEST_F(Pretrain, RefusesTextsWithoutTokens) {
  Model model = toy_model({});
  EXPECT_EQ(error_code([&] { pretrain_masked_lm(model, {"", " "}, toy_options()); }), ErrorCode::kBadInput);
  EXPECT_EQ(error_code([&] { pretrain_masked_lm(model, {}, toy_options()); }), ErrorCode::kBadInput);
}

std::shared_ptr<const Model> toy_teacher(const Dataset& train) {
  Model teacher = toy_model(train.labels, 7);
  train_classifier(teacher, train, nullptr, toy_options());
  return std::make_shared<const Model>(std::move(teacher));
}

TEST_F(Distill, WithAlphaOneIsPlainTraining) {
  const Dataset train = toy_data(96, 1);
  const auto teacher = toy_teacher(train);
  TrainOptions options = toy_options();
  options.alpha = 1;
  Model plain = toy_model(train.labels);
  train_classifier(plain, train, nullptr, options);
  Model distilled = toy_model(train.labels);
  distill(distilled, {teacher}, train, nullptr, options);
  EXPECT_EQ(weight_bytes(plain), weight_bytes(distilled));
}

TEST_F(Distill, LearnsFromTheTeacherAlone) {
  Dataset train = toy_data(256, 1);
  const Dataset eval = toy_data(64, 2);
  const auto teacher = toy_teacher(train);
  for (Example& example : train.examples) example.label = kUnlabelled;
  train.examples.push_back({.text = ""});
  // Another order of labels than the teacher's.
  Model student = toy_model({"one", "blue", "green", "red"}, 3);
  TrainOptions options = toy_options();
  options.epochs = 20;
  EXPECT_EQ(distill(student, {teacher, teacher}, train, &eval, options).accuracy, 1.0);
  Model other = toy_model({"one", "blue", "green", "yellow"}, 3, 1);
  EXPECT_EQ(error_code([&] { distill(other, {teacher}, train, nullptr, options); }), ErrorCode::kBadInput);
  EXPECT_EQ(error_code([&] { distill(student, {}, train, nullptr, options); }), ErrorCode::kUsage);
}

TEST(LearningRate, FollowsTheWidthUnlessGiven) {
  EXPECT_DOUBLE_EQ(default_learning_rate(768), 2e-5);
  EXPECT_NEAR(default_learning_rate(256), 3.12e-4, 1e-6);
  EXPECT_DOUBLE_EQ(default_learning_rate(32), 1e-3);
  TrainOptions options;
  EXPECT_DOUBLE_EQ(resolve_options(options, 768).learning_rate, 2e-5);
  EXPECT_DOUBLE_EQ(resolve_options(options, 768, 5).learning_rate, 1e-4);
  EXPECT_DOUBLE_EQ(resolve_options(options, 256, 5).learning_rate, 7e-4);
  options.learning_rate = 0;
  EXPECT_EQ(resolve_options(options, 768).learning_rate, 0);
  options.learning_rate = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(resolve_options(options, 768), Error);
}

}  // namespace
}  // namespace fettle
