// Passes for training: gradients stay what they were, and come with the sums of their squares.
#include <algorithm>
#include <cmath>

#include "graph/autodiff.h"
#include "graph/passes.h"
#include "graph/passes/rewrite.h"
#include "graph/test_encoder.h"

namespace fettle {
namespace {

int64_t count(const Graph& graph, std::string_view op) {
  return std::count_if(graph.nodes().begin(), graph.nodes().end(),
                       [&](const Node& node) { return node.op->name() == op; });
}

// An encoder with the gradients of its parameters as outputs.
struct Fixture : TestEncoder {
  Fixture() : TestEncoder({.keep_probabilities = true}) {
    const ValueId loss = loss_of(logits);
    graph.add_output("loss", loss);
    std::vector<ValueId> parameters;  // in a test graph they are inputs
    for (const ValueId input : graph.inputs()) {
      if (graph.type(input).dtype == DType::kF64) parameters.push_back(input);
    }
    const std::vector<ValueId> gradients = differentiate(graph, loss, parameters);
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (gradients[i] != kNoValue) graph.add_output("gradient of " + graph.value(parameters[i]).name, gradients[i]);
    }
  }
};

TEST(TrainingPasses, EachKeepsEveryGradient) {
  Fixture test;
  const auto before = evaluate_reference(test.graph, test.tensors, test.tensors);
  const int64_t n_activations = count(test.graph, "activate");
  ASSERT_GT(n_activations, 0);
  Graph all = test.graph;
  for (const Pass& pass : training_passes()) {
    Graph alone = test.graph;
    pass.run(alone);
    EXPECT_GT(pass.run(all), 0) << pass.name;
    for (const Graph* graph : {&alone, &all}) {
      verify(*graph);
      const auto after = evaluate_reference(*graph, test.tensors, test.tensors);
      for (const auto& [name, value] : before) {
        SCOPED_TRACE(std::string(pass.name) + ": " + name);
        expect_values(values_f64(after.at(name)), values_f64(value));
      }
    }
  }
  EXPECT_EQ(count(all, "activate") + count(all, "activate_grad"), 0);
  for (const Pass& pass : training_passes()) EXPECT_EQ(pass.run(all), 0) << pass.name;
}

TEST(TrainingPasses, SquaresBelongToTheirGradients) {
  Fixture test;
  EXPECT_GT(sum_squares_of_outputs(test.graph), 0);
  const auto outputs = evaluate_reference(test.graph, test.tensors, test.tensors);
  int64_t n_found = 0;
  for (const auto& [name, value] : outputs) {
    const auto squares = outputs.find("squares of " + name);
    if (squares == outputs.end()) continue;
    double sum = 0;
    for (const double x : values_f64(value)) sum += x * x;
    expect_values(values_f64(squares->second), {sum});
    ++n_found;
  }
  EXPECT_GT(n_found, 4);
}

struct Small : TestGraph {
  ValueId x = random("x", {3, 4});
  ValueId w = random("w", {4, 4});
  ValueId z = random("z", {3, 4});
  Attributes relu{{"kind", "relu"}};
};

TEST(FuseActivationGrad, NotWhereTheProductIsUsedOrTheArgumentComesLater) {
  Small used;
  const ValueId product = used.graph.node("matmul", {used.x, used.w});
  used.graph.add_output("y", used.graph.node("activate_grad", {used.z, product}, used.relu));
  used.graph.add_output("product", product);
  EXPECT_EQ(fuse_activation_grad(used.graph), 0);

  Small later;
  const ValueId first = later.graph.node("matmul", {later.x, later.w});
  const ValueId z = later.graph.node("scale", {later.z}, {{"factor", 2.0}});
  later.graph.add_output("y", later.graph.node("activate_grad", {z, first}, later.relu));
  EXPECT_EQ(fuse_activation_grad(later.graph), 0);

  Small fits;
  const ValueId second = fits.graph.node("matmul", {fits.x, fits.w});
  fits.graph.add_output("y", fits.graph.node("activate_grad", {fits.z, second}, fits.relu));
  EXPECT_EQ(fuse_activation_grad(fits.graph), 1);
  verify(fits.graph);
}

TEST(FusedMatmul, HasNoGradientAndRefusesWhatDoesNotFit) {
  Small test;
  const ValueId y = test.graph.node("matmul", {test.x, test.w, test.z}, {{"activation_grad", "relu"}}, "ffn");
  const ValueId loss = test.loss_of(y);
  expect_error(ErrorCode::kFailed, "matmul 'ffn'", [&] { differentiate(test.graph, loss, std::vector{test.x}); });
  const auto refused = [&](const std::string& text, std::vector<ValueId> inputs, const Attributes& attributes) {
    expect_error(ErrorCode::kFailed, text, [&] { test.graph.node("matmul", inputs, attributes); });
  };
  refused("not one of relu", {test.x, test.w, test.z}, {});
  refused("input 2 is f64[4, 4], c is f64[3, 4]", {test.x, test.w, test.w}, {{"activation_grad", "relu"}});
}

}  // namespace
}  // namespace fettle
