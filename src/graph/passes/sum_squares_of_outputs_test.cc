// Passes for training: gradients stay what they were, and come with the sums of their squares.
#include <cmath>

#include "graph/autodiff.h"
#include "graph/passes.h"
#include "graph/passes/rewrite.h"
#include "graph/test_encoder.h"

namespace fettle {
namespace {

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

TEST(MatmulWithSquares, HasNoGradient) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  const ValueId y = test.graph.add_nodes("matmul", {x, test.random("w", {4, 4})}, {{"squares", true}}, "ffn")[0];
  const ValueId loss = test.loss_of(y);
  expect_error(ErrorCode::kFailed, "matmul 'ffn'", [&] { differentiate(test.graph, loss, std::vector{x}); });
}

}  // namespace
}  // namespace fettle
