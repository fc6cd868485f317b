// What training can do besides: averages, layer-wise rates, class weights, recomputation, and stops that say where.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/cancel.h"
#include "base/error.h"
#include "base/log.h"
#include "base/scratch_folder.h"
#include "runtime/test_graphs.h"
#include "train/class_weights.h"
#include "train/classify.h"
#include "train/layer_rates.h"
#include "train/loop.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using test::toy_data;
using test::toy_model;
using test::weight_bytes;

class Features : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kWarning); }
  void TearDown() override { clear_cancel(); }
};

Model train(const TrainOptions& options, const Dataset& data = toy_data(96, 1)) {
  Model model = toy_model(data.labels);
  train_classifier(model, data, nullptr, options);
  return model;
}

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailed);
    return error.what();
  }
  return "";
}

// The same seven steps, ended after each of them: what is averaged.
TEST_F(Features, AverageOfTheWeights) {
  TrainOptions options = test::toy_training();
  options.schedule_steps = 20;
  const Dataset data = toy_data(96, 1);
  std::map<std::string, std::vector<double>> average;
  const Model start = toy_model(data.labels);
  for (const std::string& name : start.parameters.names()) {
    const Tensor values = start.parameters.get(name).decode();
    average[name].assign(values.data<float>(), values.data<float>() + values.size());
  }
  for (int t = 1; t <= 7; ++t) {
    options.max_steps = t;
    const Model model = train(options, data);
    const double keeps = std::min(0.4, (1.0 + t) / (10.0 + t));
    for (auto& [name, values] : average) {
      const Tensor weights = model.parameters.get(name).decode();
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = keeps * values[i] + (1 - keeps) * static_cast<double>(weights.floats()[i]);
      }
    }
  }
  options.ema_decay = 0.4;
  const Model averaged = train(options, data);
  double difference = 0;
  const Model last = [&] {
    options.ema_decay = 0;
    return train(options, data);
  }();
  for (const auto& [name, values] : average) {
    const Tensor actual = averaged.parameters.get(name).decode();
    const Tensor plain = last.parameters.get(name).decode();
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(actual.floats()[i], values[i], 1e-6) << name;
      difference = std::max(difference, std::fabs(static_cast<double>(plain.floats()[i]) - values[i]));
    }
  }
  EXPECT_GT(difference, 1e-3) << "the average is the last weights";
}

// What is evaluated is what is kept.
TEST_F(Features, AveragesAreEvaluatedAndKept) {
  const Dataset data = toy_data(96, 1);
  const Dataset eval = toy_data(64, 2);
  TrainOptions options = test::toy_training(4);
  options.ema_decay = 0.9;
  for (const bool keep_best : {false, true}) {
    options.keep_best = keep_best;
    Model model = toy_model(data.labels);
    const TrainResult result = train_classifier(model, data, &eval, options);
    Machine machine(options);
    const double accuracy = LogitsRunner(model, options, machine).accuracy(prepare(model, eval, 16), 16);
    EXPECT_EQ(accuracy, result.accuracy);
  }
}

// Adam's first step moves every weight by nearly the rate, so its size tells the rate of each parameter.
TEST_F(Features, LayersLearnAtTheirOwnRates) {
  const Dataset data = toy_data(96, 1);
  TrainOptions options = test::toy_training();
  options.max_steps = 1;
  options.schedule = Schedule::kConstant;
  options.weight_decay = 0;
  options.max_grad_norm = 0;
  options.adam_eps = 1e-30;
  const Model start = toy_model(data.labels);
  options.layer_decay = 0.5;
  const Model model = train(options, data);
  std::map<double, int> n_of_factor;
  for (const std::string& name : start.parameters.names()) {
    const Tensor before = start.parameters.get(name).decode();
    const Tensor after = model.parameters.get(name).decode();
    double step = 0;
    for (int64_t i = 0; i < before.size(); ++i) {
      step = std::max(step, std::fabs(static_cast<double>(after.floats()[i]) - before.floats()[i]));
    }
    const double factor = layer_rate_factor(start.config, name, 0.5);
    EXPECT_NEAR(step / options.learning_rate, factor, 1e-3) << name;
    ++n_of_factor[factor];
  }
  EXPECT_EQ(n_of_factor.size(), 4u) << "embeddings, two layers, head";
}

TEST_F(Features, ClassWeightsByCountAndByName) {
  const std::vector<std::string> names = {"a", "b", "c", "d"};
  const std::vector<int32_t> labels = {0, 0, 0, 0, 1, 1, -1, 2};
  EXPECT_TRUE(weigh_classes({}, names, labels).empty());
  // n = 7 labelled, 3 classes that are there.
  const std::vector<float> balanced = weigh_classes({.balanced = true, .by_label = {}}, names, labels);
  const std::vector<double> expected = {7.0 / 12, 7.0 / 6, 7.0 / 3, 1};
  for (size_t c = 0; c < 4; ++c) EXPECT_NEAR(balanced[c], expected[c], 1e-6);
  EXPECT_EQ(weigh_classes({.by_label = {{"c", 2.5}, {"a", 0}}}, names, labels), (std::vector<float>{0, 1, 2.5, 1}));
  EXPECT_THROW(weigh_classes({.by_label = {{"e", 1}}}, names, labels), Error);
  EXPECT_THROW(weigh_classes({.by_label = {{"a", 1}, {"a", 2}}}, names, labels), Error);
}

// The weighted mean of the whole batch, also when it comes in parts whose weights differ.
TEST_F(Features, ClassWeightsWithAccumulation) {
  TrainOptions options = test::toy_training(2);
  options.dropout = 0;
  options.precision = Precision::kF32;
  options.learning_rate = 1e-3;
  options.adam_eps = 1e-3;
  options.class_weights.by_label = {{"red", 5}, {"green", 0.25}, {"one", 0}};
  const Model whole = train(options);
  TrainOptions in_parts = options;
  in_parts.batch_size = 8;
  in_parts.gradient_accumulation = 2;
  const Model parts = train(in_parts);
  options.class_weights = {};
  const Model plain = train(options);
  double effect = 0;
  for (const std::string& name : whole.parameters.names()) {
    const Tensor a = whole.parameters.get(name).decode();
    const Tensor b = parts.parameters.get(name).decode();
    const Tensor c = plain.parameters.get(name).decode();
    for (int64_t i = 0; i < a.size(); ++i) {
      ASSERT_NEAR(a.data<float>()[i], b.data<float>()[i], 2e-5) << name;
      effect = std::max(effect, std::fabs(static_cast<double>(a.data<float>()[i]) - c.data<float>()[i]));
    }
  }
  EXPECT_GT(effect, 1e-4);
}

TEST_F(Features, AClassWithoutWeightIsNotLearned) {
  Dataset data = toy_data(64, 1);
  for (Example& example : data.examples) example.label = 2;
  TrainOptions options = test::toy_training(2);
  options.class_weights.by_label = {{"blue", 0}};
  options.weight_decay = 0;
  EXPECT_EQ(weight_bytes(train(options, data)), weight_bytes(toy_model(data.labels)));
}

TEST_F(Features, RecomputationGivesTheSameBytes) {
  TrainOptions options = test::toy_training(2);
  const Dataset data = toy_data(64, 1);
  for (const Architecture architecture : test::kArchitectures) {
    for (const Precision precision : {Precision::kF32, Precision::kBF16}) {
      options.precision = precision;
      std::vector<std::string> bytes;
      std::vector<int64_t> memory;
      for (const bool recompute : {false, true}) {
        ModelConfig config = toy_model(data.labels, 1, 4).config;
        test::set_architecture(config, architecture);
        Model model = make_model(config, test::word_tokenizer(test::toy_words()), 4);
        options.gradient_checkpointing = recompute;
        memory.push_back(train_classifier(model, data, nullptr, options).activation_bytes);
        bytes.push_back(weight_bytes(model));
      }
      EXPECT_EQ(bytes[0], bytes[1]);
      EXPECT_LT(memory[1], memory[0]);
    }
  }
}

// Twelve layers, and many tokens beside the weights.
TEST_F(Features, RecomputationTakesAFractionOfTheMemory) {
  const Dataset data = toy_data(256, 1);
  TrainOptions options = test::toy_training();
  options.max_steps = 1;
  options.batch_size = 256;
  std::vector<int64_t> memory;
  for (const bool recompute : {false, true}) {
    Model model = toy_model(data.labels, 1, 12);
    options.gradient_checkpointing = recompute;
    memory.push_back(train_classifier(model, data, nullptr, options).activation_bytes);
  }
  EXPECT_LT(memory[1], memory[0] / 3) << memory[0] << " bytes without";
}

TEST_F(Features, LossThatIsNotFiniteNamesTheCheckpoint) {
  const ScratchFolder folder;
  TrainOptions options = test::toy_training(3);
  options.learning_rate = 1e30;
  options.schedule = Schedule::kConstant;
  std::string message = message_of([&] { train(options); });
  EXPECT_NE(message.find("not finite at step"), std::string::npos) << message;
  EXPECT_NE(message.find("learning rate 1e+30"), std::string::npos) << message;
  EXPECT_NE(message.find("no checkpoint"), std::string::npos) << message;
  options.learning_rate = 1e-3;
  options.checkpoint_folder = folder / "run";
  options.checkpoint_every = 1000;
  request_cancel_after(3);
  EXPECT_THROW(train(options), Error);
  clear_cancel();
  const Json state = read_json(folder / "run" / "checkpoint" / "state.json").at("state");
  options.resume = true;
  options.allow_changes = true;
  options.learning_rate = 1e30;
  message = message_of([&] { train(options); });
  const std::string expected =
      "last good checkpoint is " + (folder / "run").string() + ", of step " + state.at("step").dump();
  EXPECT_NE(message.find(expected), std::string::npos) << message;
}

// Learned well, then driven apart by a rate that is far too high.
TEST_F(Features, ADivergingLossStopsTheRun) {
  const ScratchFolder folder;
  const Dataset data = toy_data(96, 1);
  TrainOptions options = test::toy_training();
  options.max_steps = 300;
  options.schedule = Schedule::kConstant;
  options.checkpoint_folder = folder / "run";
  options.checkpoint_every = 10;
  request_cancel_after(60);
  EXPECT_THROW(train(options, data), Error);
  clear_cancel();
  options.resume = true;
  options.learning_rate = 2;
  EXPECT_THROW(train(options, data), Error) << "another rate must be allowed first";
  options.allow_changes = true;
  options.divergence_check = false;
  TrainOptions unchecked = options;
  unchecked.checkpoint_folder = folder / "copy";
  std::filesystem::copy(folder / "run", folder / "copy", std::filesystem::copy_options::recursive);
  Model model = toy_model(data.labels);
  const TrainResult result = train_classifier(model, data, nullptr, unchecked);
  EXPECT_EQ(result.steps, 300);
  ASSERT_EQ(result.changes.size(), 1u);
  EXPECT_EQ(result.changes[0].at("option"), "learning_rate");
  EXPECT_EQ(result.changes[0].at("before"), 3e-3);
  EXPECT_EQ(model.manifest["steps"][0]["changes"], result.changes);

  options.divergence_check = true;
  const std::string message = message_of([&] { train(options, data); });
  EXPECT_NE(message.find("the loss is diverging"), std::string::npos) << message;
  EXPECT_NE(message.find("learning rate 2"), std::string::npos) << message;
  EXPECT_NE(message.find("last good checkpoint is " + (folder / "run").string()), std::string::npos) << message;
}

TEST_F(Features, OptionsThatMakeNoSense) {
  const auto refused = [](const std::function<void(TrainOptions&)>& change) {
    TrainOptions options;
    change(options);
    try {
      resolve_options(options, 64);
    } catch (const Error& error) {
      return error.code() == ErrorCode::kUsage;
    }
    return false;
  };
  EXPECT_TRUE(refused([](TrainOptions& o) { o.layer_decay = 0; }));
  EXPECT_TRUE(refused([](TrainOptions& o) { o.layer_decay = 1.5; }));
  EXPECT_TRUE(refused([](TrainOptions& o) { o.ema_decay = 1; }));
  EXPECT_TRUE(refused([](TrainOptions& o) { o.class_weights.by_label = {{"a", -1}}; }));
  EXPECT_TRUE(refused([](TrainOptions& o) { o.class_weights.by_label = {{"a", std::nan("")}}; }));
}

}  // namespace
}  // namespace fettle
