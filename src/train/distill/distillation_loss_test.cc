#include "train/distill/distillation_loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "base/python_oracle.h"
#include "base/scratch_folder.h"
#include "graph/autodiff.h"
#include "train/test_models.h"

namespace fettle {
namespace {

using test::toy_data;
using test::toy_model;

// Weights so large that logits and relations differ.
Model lively_model(const std::vector<std::string>& labels, uint64_t seed, int64_t n_layers = 2, int64_t width = 64) {
  Model model = toy_model(labels, seed, n_layers, width);
  for (const std::string& name : model.parameters.names()) {
    Tensor values = model.parameters.get(name).decode().clone();
    if (values.rank() < 2) continue;
    for (int64_t i = 0; i < values.size(); ++i) values.mutable_data<float>()[i] *= 5;
    model.parameters.set(name, EncodedTensor::dense(values));
  }
  return model;
}

TrainOptions exact_options(int64_t n) {
  TrainOptions options;
  options.batch_size = n;
  options.dropout = 0;
  options.n_threads = 1;
  options.precision = Precision::kF32;
  return options;
}

// The loss of a whole data set as one batch, its parts and gradients.
class WholeLoss {
 public:
  WholeLoss(Model& student, const Model& teacher, const Dataset& data, const DistillOptions& distill,
            TrainOptions options)
      : options_(options),
        machine_(options_),
        plan_(plan_features(distill, student.config, teacher.config)),
        projections_(student, teacher, plan_, options_, machine_),
        outputs_(student, {std::shared_ptr<const Model>(std::shared_ptr<void>(), &teacher)}, data,
                 {.logits = distill.match.logits, .taps = plan_.teacher_taps(), .max_length = options.max_length},
                 distill.cache, options_, machine_),
        objective_(
            student, prepare(student, data, options.max_length), std::nullopt, options_, machine_,
            std::make_unique<DistillationLoss>(
                student, teacher, DistillationTerms{distill, plan_, options.alpha, options.temperature}, outputs_)),
        student_(student) {}

  void run(const std::vector<std::string>& wanted = {}) {
    Graph graph = objective_.build_loss_graph();
    std::vector<ValueId> ids;
    for (const std::string& name : wanted) ids.push_back(graph.find(name));
    const std::vector<ValueId> gradients = differentiate(graph, graph.find("loss"), ids);
    for (size_t i = 0; i < ids.size(); ++i) graph.add_output("d " + wanted[i], gradients[i]);
    executor_ = std::make_unique<Executor>(
        graph, [this](std::string_view name) -> const EncodedTensor& { return student_.parameters.get(name); },
        ExecutorOptions{.pool = &machine_.pool, .table = &machine_.table, .pack_parameters = false});
    MicroBatch batch;
    objective_.begin_epoch(0);
    objective_.load(0, batch);
    for (const auto& [name, value] : batch.inputs) executor_->set_input(name, value);
    executor_->run();
  }
  double loss(const std::string& name = "loss") const { return executor_->output(name).data<float>()[0]; }
  Tensor gradient(const std::string& name) const { return executor_->output("d " + name); }

 private:
  TrainOptions options_;
  Machine machine_;
  FeaturePlan plan_;
  Projections projections_;
  TeacherOutputs outputs_;
  ClassifierObjective objective_;
  Model& student_;
  std::unique_ptr<Executor> executor_;
};

std::vector<double> softmax(const float* logits, int64_t n, double temperature) {
  std::vector<double> p(static_cast<size_t>(n));
  double sum = 0;
  for (int64_t c = 0; c < n; ++c) sum += p[c] = std::exp(logits[c] / temperature);
  for (double& value : p) value /= sum;
  return p;
}

// d loss / d classifier.bias is the sum over rows of d loss / d logits, whose formula is techniques B2 and B3: alpha
// times the mean cross entropy over labelled rows, and (1 - alpha) times T² · KL meaned over all rows.
TEST(DistillationLoss, GradientOfTheMixedLoss) {
  Dataset data = toy_data(12, 1);
  for (size_t i = 0; i < 5; ++i) data.examples[i].label = kUnlabelled;
  Model model = lively_model(data.labels, 1);
  const Model teacher = lively_model(data.labels, 2);
  TrainOptions options = exact_options(12);
  options.alpha = 0.3;
  options.temperature = 3;
  Machine machine(options);
  const ClassificationData prepared = prepare(model, data, 64);
  const Tensor logits = LogitsRunner(model, options, machine).run(prepared.texts, 5);
  const Tensor targets = LogitsRunner(teacher, options, machine).run(prepared.texts, 5);
  WholeLoss whole(model, teacher, data, {}, options);
  whole.run({"classifier.bias"});

  double loss = 0;
  std::vector<double> expected(4, 0.0);
  for (int64_t i = 0; i < 12; ++i) {
    const float* z = logits.data<float>() + 4 * i;
    const auto hard = softmax(z, 4, 1);
    const auto student = softmax(z, 4, options.temperature);
    const auto target = softmax(targets.data<float>() + 4 * i, 4, options.temperature);
    const int32_t label = data.examples[i].label;
    if (label >= 0) loss -= options.alpha * std::log(hard[label]) / 7;
    for (int64_t c = 0; c < 4; ++c) {
      if (label >= 0) expected[c] += options.alpha * (hard[c] - (c == label ? 1 : 0)) / 7;
      expected[c] += (1 - options.alpha) * options.temperature * (student[c] - target[c]) / 12;
      loss += (1 - options.alpha) * 9 * target[c] * std::log(target[c] / student[c]) / 12;
    }
  }
  EXPECT_NEAR(whole.loss(), loss, 1e-4);
  const Tensor gradient = whole.gradient("classifier.bias");
  for (int64_t c = 0; c < 4; ++c) EXPECT_NEAR(gradient.data<float>()[c], expected[c], 1e-5);
}

Json rows_of(const TokenizedTexts& texts) {
  Json rows = Json::array();
  for (int64_t i = 0; i < texts.size(); ++i) {
    rows.push_back(
        std::vector<int32_t>(texts.ids.begin() + texts.offsets[i], texts.ids.begin() + texts.offsets[i + 1]));
  }
  return rows;
}

Json matrix_of(const Tensor& values) {
  Json rows = Json::array();
  for (int64_t r = 0; r < values.dim(0); ++r) {
    const Tensor row = values.rows(r, r + 1);
    rows.push_back(std::vector<float>(row.floats().begin(), row.floats().end()));
  }
  return rows;
}

void expect_gradient(const Tensor& actual, const std::vector<double>& expected, const std::string& name) {
  ASSERT_EQ(static_cast<size_t>(actual.size()), expected.size()) << name;
  double largest = 1e-6;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(actual.floats()[i], expected[i], 3e-3 * largest) << name << " element " << i;
  }
}

// A student of one layer and half the width against a teacher of two, everything matched at once.
TEST(DistillationLoss, IsThatOfPyTorchWithEveryTerm) {
  if (!python_has("torch")) GTEST_SKIP() << "python3-torch is not installed";
  set_log_level(LogLevel::kWarning);
  const ScratchFolder folder;
  Dataset data = toy_data(6, 3);
  data.examples[2].label = kUnlabelled;
  Model student = lively_model(data.labels, 1, 1, 32);
  const Model teacher = lively_model(data.labels, 2, 2, 64);
  save_model(student, folder / "student", false);
  save_model(teacher, folder / "teacher", false);
  DistillOptions distill{.match = parse_match("logits,hidden,attention,values,embeddings"),
                         .hidden_weight = 0.7,
                         .embeddings_weight = 1.3,
                         .attention_weight = 2.5,
                         .values_weight = 0.4,
                         .relations_of_all_layers = true,
                         .relation_heads = 4};
  TrainOptions options = exact_options(6);
  options.alpha = 0.3;
  options.temperature = 3;
  const std::vector<std::string> names = {"classifier.weight", "bert.encoder.layer.0.attention.self.value.weight",
                                          "bert.encoder.layer.0.attention.self.query.weight",
                                          "bert.embeddings.word_embeddings.weight"};
  std::vector<std::string> wanted = names;
  wanted.insert(wanted.end(), {kHiddenProjection, kEmbeddingsProjection});
  WholeLoss whole(student, teacher, data, distill, options);
  whole.run(wanted);

  const ClassificationData prepared = prepare(student, data, 64);
  Json case_json{{"student", (folder / "student").string()},
                 {"teacher", (folder / "teacher").string()},
                 {"token_ids", rows_of(prepared.texts)},
                 {"labels", prepared.labels},
                 {"alpha", options.alpha},
                 {"temperature", options.temperature},
                 {"layers", {{0, 1}}},
                 {"relation_heads", distill.relation_heads},
                 {"weights",
                  {{"hidden", distill.hidden_weight},
                   {"embeddings", distill.embeddings_weight},
                   {"attention", distill.attention_weight},
                   {"values", distill.values_weight}}},
                 {"gradients", names}};
  case_json["projections"] = {{"hidden", matrix_of(student.parameters.get(kHiddenProjection).decode())},
                              {"embeddings", matrix_of(student.parameters.get(kEmbeddingsProjection).decode())}};
  write_json(folder / "case.json", case_json);
  const PythonResult result = run_oracle(
      "distill_loss.py", "'" + (folder / "case.json").string() + "' '" + (folder / "out.json").string() + "'");
  ASSERT_EQ(result.status, 0) << result.output;
  const Json expected = read_json(folder / "out.json");
  for (const char* part : {"embeddings", "hidden", "attention", "values"}) {
    const double value = expected["parts"][part].get<double>();
    EXPECT_GT(value, 1e-3) << part << " is too small to tell";
    EXPECT_NEAR(whole.loss(std::string(part) + "_loss"), value, 1e-3 * value) << part;
  }
  EXPECT_NEAR(whole.loss(), expected["loss"].get<double>(), 1e-3 * expected["loss"].get<double>());
  const Json& gradients = expected["gradients"];
  for (const std::string& name : names) {
    expect_gradient(whole.gradient(name), gradients[name].get<std::vector<double>>(), name);
  }
  expect_gradient(whole.gradient(kHiddenProjection), gradients["projection of hidden"].get<std::vector<double>>(),
                  kHiddenProjection);
  expect_gradient(whole.gradient(kEmbeddingsProjection),
                  gradients["projection of embeddings"].get<std::vector<double>>(), kEmbeddingsProjection);
}

TEST(DistillationLoss, ATeacherOfItselfHasNothingToTeach) {
  const Dataset data = toy_data(8, 3);
  Model student = lively_model(data.labels, 1);
  const Model teacher = student;
  const DistillOptions distill{.match = parse_match("logits,hidden,attention,values,embeddings"),
                               .relations_of_all_layers = true};
  TrainOptions options = exact_options(8);
  options.alpha = 0;
  WholeLoss whole(student, teacher, data, distill, options);
  whole.run();
  // bf16 keeps eight bits.
  EXPECT_NEAR(whole.loss(), 0, 1e-3);
  EXPECT_FALSE(student.parameters.has(kHiddenProjection)) << "widths are the same";
}

// The map between embeddings that the student's projection is, undone.
TEST(Projections, BeginAsTheMapBetweenTheEmbeddings) {
  const Dataset data = toy_data(8, 3);
  const Model teacher = lively_model(data.labels, 1, 2, 64);
  Model student = make_student(teacher, "hidden=16", 0);
  const TrainOptions options = exact_options(8);
  Machine machine(options);
  const FeaturePlan plan = plan_features({.match = parse_match("hidden,embeddings")}, student.config, teacher.config);
  const std::string table = "bert.embeddings.word_embeddings.weight";
  const size_t n_before = student.parameters.names().size();
  {
    const Projections projections(student, teacher, plan, options, machine);
    EXPECT_EQ(student.parameters.names().size(), n_before + 2);
    const Tensor map = student.parameters.get(kHiddenProjection).decode();
    ASSERT_EQ(map.shape(), (Shape{64, 16}));
    // Orthonormal columns: the words have 17 directions at most, the 16 best ones are kept.
    for (int64_t a = 0; a < 16; ++a) {
      for (int64_t b = 0; b <= a; ++b) {
        double dot = 0;
        for (int64_t r = 0; r < 64; ++r) dot += map.data<float>()[r * 16 + a] * map.data<float>()[r * 16 + b];
        EXPECT_NEAR(dot, a == b ? 1 : 0, 0.05);
      }
    }
  }
  EXPECT_EQ(student.parameters.names().size(), n_before);
}

}  // namespace
}  // namespace fettle
