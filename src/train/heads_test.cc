// Heads of label sets and of numbers, and second texts: learnt, resumed, written and read.
#include "train/heads.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/cancel.h"
#include "base/error.h"
#include "base/log.h"
#include "base/scratch_folder.h"
#include "graph/autodiff.h"
#include "runtime/session.h"
#include "train/test_models.h"

namespace fettle {
namespace {

class Heads : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kWarning); }
  void TearDown() override { clear_cancel(); }
};

const std::vector<std::string> kColours = {"red", "green", "blue"};

// Each colour is in the text or not, among filler words; the set is the colours, the number what they sum up to.
Dataset colours(int64_t n, uint64_t seed, LabelKind kind) {
  Dataset data;
  data.label_kind = kind;
  data.labels = kind == LabelKind::kSet ? kColours : std::vector<std::string>{"LABEL_0"};
  const std::vector<std::string> filler = {"the", "a", "big", "small"};
  Philox random(seed);
  for (int64_t i = 0; i < n; ++i) {
    Example example;
    std::vector<int32_t> set;
    std::vector<std::string> words = {filler[random.below(4)], filler[random.below(4)]};
    double sum = 3;
    for (int32_t c = 0; c < 3; ++c) {
      if (random.below(2) == 0) continue;
      set.push_back(c);
      sum += c == 0 ? 1 : c == 1 ? -2 : 0.5;
      words.push_back(kColours[static_cast<size_t>(c)]);
    }
    random.shuffle(words);
    for (const std::string& word : words) example.text += (example.text.empty() ? "" : " ") + word;
    if (kind == LabelKind::kSet) example.label_set = set;
    if (kind == LabelKind::kNumber) example.number = sum;
    data.examples.push_back(std::move(example));
  }
  return data;
}

Model model_for(LabelKind kind) {
  Model model = test::toy_model(kind == LabelKind::kSet ? kColours : std::vector<std::string>{"LABEL_0"});
  model.config.problem = kind == LabelKind::kSet ? ProblemType::kMultiLabel : ProblemType::kRegression;
  return model;
}

TEST_F(Heads, LearnSetsOfLabels) {
  Model model = model_for(LabelKind::kSet);
  const Dataset eval = colours(64, 2, LabelKind::kSet);
  const TrainResult result = train_classifier(model, colours(512, 1, LabelKind::kSet), &eval, test::toy_training(20));
  EXPECT_EQ(result.metric, "micro_f1");
  EXPECT_GT(result.accuracy, 0.9);  // naming all labels always has 0.67
  EXPECT_NEAR(result.curve.front().loss, std::log(2.0), 0.2);
  EXPECT_LT(result.epochs.back().loss, 0.3);
}

TEST_F(Heads, LearnNumbers) {
  Model model = model_for(LabelKind::kNumber);
  const Dataset eval = colours(64, 2, LabelKind::kNumber);
  const TrainResult result =
      train_classifier(model, colours(256, 1, LabelKind::kNumber), &eval, test::toy_training(20));
  EXPECT_EQ(result.metric, "r2");
  EXPECT_GT(result.accuracy, 0.9);
}

// d loss / d classifier.bias is the sum over rows of (σ(z) - t) / (n · labels) or 2 (z - t) / n.
TEST_F(Heads, GradientsAreTheFormulas) {
  for (const LabelKind kind : {LabelKind::kSet, LabelKind::kNumber}) {
    const Model model = model_for(kind);
    TrainOptions options = test::toy_training();
    options.dropout = 0;
    options.precision = Precision::kF32;
    Machine machine(options);
    TargetData data = prepare_targets(model, colours(16, 3, kind), 16);
    const Tensor logits = LogitsRunner(model, options, machine).run(data.texts, 16);
    const Tensor targets = data.targets;
    TargetObjective objective(model, std::move(data), std::nullopt, options, machine);
    Graph graph = objective.build_loss_graph();
    const ValueId bias = graph.find("classifier.bias");
    graph.add_output("d_bias", differentiate(graph, graph.find("loss"), std::vector<ValueId>{bias})[0]);
    Executor executor(graph, [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
                      {.pool = &machine.pool, .table = &machine.table, .pack_parameters = false});
    MicroBatch batch;
    objective.begin_epoch(0);
    objective.load(0, batch);
    for (const auto& [name, value] : batch.inputs) executor.set_input(name, value);
    executor.run();
    const int64_t width = logits.dim(1);
    std::vector<double> expected(static_cast<size_t>(width), 0);
    for (int64_t i = 0; i < logits.size(); ++i) {
      const double z = logits.floats()[static_cast<size_t>(i)];
      const double t = targets.floats()[static_cast<size_t>(i)];
      const double d = kind == LabelKind::kSet ? 1 / (1 + std::exp(-z)) - t : 2 * (z - t);
      expected[static_cast<size_t>(i % width)] += d / static_cast<double>(logits.size());
    }
    for (int64_t c = 0; c < width; ++c) {
      EXPECT_NEAR(executor.output("d_bias").data<float>()[c], expected[static_cast<size_t>(c)], 1e-5);
    }
  }
}

TEST_F(Heads, ResumedRunsGiveTheSameBytes) {
  for (const LabelKind kind : {LabelKind::kSet, LabelKind::kNumber}) {
    const ScratchFolder folder;
    const Dataset data = colours(56, 1, kind);
    const Dataset eval = colours(12, 2, kind);
    TrainOptions options = test::toy_training(3);
    options.ema_decay = 0.5;
    options.gradient_checkpointing = true;
    const auto run = [&] {
      Model model = model_for(kind);
      train_classifier(model, data, &eval, options);
      return test::weight_bytes(model);
    };
    const std::string whole = run();
    for (const int64_t looks : {0, 3, 5, 8, 11}) {
      options.checkpoint_folder = folder / std::to_string(looks);
      options.resume = false;
      request_cancel_after(looks);
      EXPECT_THROW(run(), Error);
      clear_cancel();
      options.resume = true;
      options.n_threads = 2;
      EXPECT_EQ(whole, run());
    }
  }
}

TEST_F(Heads, SurviveTheFolder) {
  for (const LabelKind kind : {LabelKind::kSet, LabelKind::kNumber}) {
    const ScratchFolder folder;
    const Dataset data = colours(32, 1, kind);
    Model model = model_for(kind);
    train_classifier(model, data, nullptr, test::toy_training(1));
    save_model(model, folder / "model", false);
    const auto loaded = std::make_shared<const Model>(load_model(folder / "model"));
    EXPECT_EQ(loaded->config.problem, model.config.problem);
    EXPECT_EQ(loaded->config.labels, model.config.labels);
    EXPECT_EQ(test::weight_bytes(*loaded), test::weight_bytes(model));
  }
}

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(Heads, RefuseWhatDoesNotFit) {
  const TrainOptions options = test::toy_training(1);
  Model sets = model_for(LabelKind::kSet);
  Model numbers = model_for(LabelKind::kNumber);
  Model single = test::toy_model(kColours);
  const auto message = [&](Model& model, const Dataset& data, const TrainOptions& given) {
    return refusal([&] { train_classifier(model, data, nullptr, given); });
  };
  EXPECT_NE(message(sets, colours(8, 1, LabelKind::kNumber), options).find("multi-label classifier needs"),
            std::string::npos);
  EXPECT_NE(message(numbers, test::toy_data(8, 1), options).find("regression"), std::string::npos);
  EXPECT_NE(message(single, colours(8, 1, LabelKind::kSet), options).find("label"), std::string::npos);
  Dataset unknown = colours(8, 1, LabelKind::kSet);
  unknown.labels[1] = "violet";
  EXPECT_NE(message(sets, unknown, options).find("'violet'"), std::string::npos);
  Dataset without = colours(8, 1, LabelKind::kNumber);
  without.examples[3].number = std::nan("");
  EXPECT_NE(message(numbers, without, options).find("example 4 has no number"), std::string::npos);
  TrainOptions weighted = options;
  weighted.class_weights.balanced = true;
  EXPECT_NE(message(sets, colours(8, 1, LabelKind::kSet), weighted).find("single-label"), std::string::npos);
  const auto teacher = std::make_shared<const Model>(test::toy_model(kColours));
  EXPECT_NE(refusal([&] { distill(sets, {teacher}, test::toy_data(8, 1), nullptr, options); }).find("multi-label"),
            std::string::npos);
}

// The label is the colour of the second text; the first has another one.
Dataset pairs(int64_t n, uint64_t seed) {
  Dataset data;
  data.labels = kColours;
  Philox random(seed);
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t second = random.below(3);
    const uint64_t first = (second + 1 + random.below(2)) % 3;
    data.examples.push_back(
        {"the " + kColours[first] + " house", "a " + kColours[second] + " tree", static_cast<int32_t>(second)});
  }
  return data;
}

TEST_F(Heads, PairsAreLearntThroughTheSecondText) {
  Model model = test::toy_model(kColours);
  const Dataset eval = pairs(48, 2);
  const Dataset train = pairs(192, 1);
  EXPECT_GT(train_classifier(model, train, &eval, test::toy_training(10)).accuracy, 0.95);
  // Sentences are told apart by their types too.
  const TokenizedTexts texts = tokenize(train, *model.tokenizer, 16);
  ASSERT_EQ(texts.type_ids.size(), texts.ids.size());
  // [CLS] the red house [SEP] a blue tree [SEP]
  EXPECT_EQ(std::vector<int32_t>(texts.type_ids.begin(), texts.type_ids.begin() + 9),
            (std::vector<int32_t>{0, 0, 0, 0, 0, 1, 1, 1, 1}));
}

}  // namespace
}  // namespace fettle
