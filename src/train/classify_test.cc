#include "train/classify.h"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/autodiff.h"
#include "kernels/dispatch.h"
#include "train/test_models.h"

namespace fettle {
namespace {

std::vector<double> softmax(const float* logits, int64_t n, double temperature) {
  std::vector<double> p(static_cast<size_t>(n));
  double sum = 0;
  for (int64_t c = 0; c < n; ++c) sum += p[c] = std::exp(logits[c] / temperature);
  for (double& value : p) value /= sum;
  return p;
}

// d loss / d classifier.bias is the sum over rows of d loss / d logits, whose formula is techniques B2 and B3: alpha
// times the mean cross entropy over labelled rows, and (1 - alpha) times T² · KL meaned over all rows.
TEST(ClassifierObjective, GradientOfTheMixedLoss) {
  Dataset data = test::toy_data(12, 1);
  for (size_t i = 0; i < 5; ++i) data.examples[i].label = kUnlabelled;
  Model model = test::toy_model(data.labels);
  for (const std::string& name : model.parameters.names()) {
    // Weights large enough that the logits differ.
    Tensor values = model.parameters.get(name).decode().clone();
    for (int64_t i = 0; i < values.size(); ++i) values.mutable_data<float>()[i] *= 5;
    model.parameters.set(name, EncodedTensor::dense(values));
  }
  TrainOptions options;
  options.batch_size = 12;
  options.dropout = 0;
  options.n_threads = 1;
  options.precision = Precision::kF32;
  Machine machine(options);
  const ClassificationData prepared = prepare(model, data, 16);
  const Tensor logits = LogitsRunner(model, options, machine).run(prepared.texts, 5);
  Tensor teacher(DType::kF32, {12, 4});
  for (int64_t i = 0; i < teacher.size(); ++i) teacher.mutable_data<float>()[i] = std::sin(static_cast<float>(i));
  const double alpha = 0.3;
  const double temperature = 3;
  ClassifierObjective objective(model, prepared, std::nullopt, options, machine,
                                DistillationTerm{teacher, alpha, temperature});

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

  double loss = 0;
  std::vector<double> expected(4, 0.0);
  for (int64_t i = 0; i < 12; ++i) {
    const float* z = logits.data<float>() + 4 * i;
    const auto hard = softmax(z, 4, 1);
    const auto student = softmax(z, 4, temperature);
    const auto target = softmax(teacher.data<float>() + 4 * i, 4, temperature);
    const int32_t label = data.examples[i].label;
    if (label >= 0) loss -= alpha * std::log(hard[label]) / 7;
    for (int64_t c = 0; c < 4; ++c) {
      if (label >= 0) expected[c] += alpha * (hard[c] - (c == label ? 1 : 0)) / 7;
      expected[c] += (1 - alpha) * temperature * (student[c] - target[c]) / 12;
      loss += (1 - alpha) * temperature * temperature * target[c] * std::log(target[c] / student[c]) / 12;
    }
  }
  EXPECT_NEAR(executor.output("loss").data<float>()[0], loss, 1e-4);
  for (int64_t c = 0; c < 4; ++c) EXPECT_NEAR(executor.output("d_bias").data<float>()[c], expected[c], 1e-5);
}

TEST(LogitsRunner, KeepsTheOrderOfTheData) {
  const Dataset data = test::toy_data(37, 4);
  const Model model = test::toy_model(data.labels);
  TrainOptions options;
  options.n_threads = 1;
  options.precision = Precision::kF32;
  Machine machine(options);
  LogitsRunner runner(model, options, machine);
  const ClassificationData all = prepare(model, data, 16);
  const Tensor together = runner.run(all.texts, 8);
  for (size_t i = 0; i < data.examples.size(); ++i) {
    const Dataset one{.examples = {data.examples[i]}, .labels = data.labels};
    const Tensor alone = runner.run(prepare(model, one, 16).texts, 1);
    for (int64_t c = 0; c < 4; ++c) {
      EXPECT_NEAR(alone.data<float>()[c], together.data<float>()[4 * static_cast<int64_t>(i) + c], 1e-5);
    }
  }
}

TEST(Prepare, TruncatesToTheModelsPositions) {
  Dataset data = test::toy_data(2, 4);
  data.examples[0].text.clear();
  for (int i = 0; i < 100; ++i) data.examples[0].text += "red ";
  const Model model = test::toy_model(data.labels);  // 32 positions
  EXPECT_EQ(prepare(model, data, 1000).texts.length(0), 32);
  EXPECT_EQ(prepare(model, data, 8).texts.length(0), 8);
}

}  // namespace
}  // namespace fettle
