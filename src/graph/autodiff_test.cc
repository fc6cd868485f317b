#include "graph/autodiff.h"

#include "graph/test_encoder.h"

namespace fettle {
namespace {

TEST(Differentiate, AnEncoderClassifier) {
  TestEncoder test({.dropout = 0.2, .keep_probabilities = true});
  const ValueId loss = test.graph.node("softmax_cross_entropy", {test.logits, test.indices("labels", {2, 0})});
  expect_gradients(test, loss, test.weights, 1e-6);
}

TEST(Differentiate, DistillationMixedWithLabels) {
  TestEncoder test({.keep_probabilities = true, .n_layers = 1}, 3);
  const ValueId hard = test.graph.node("softmax_cross_entropy", {test.logits, test.indices("labels", {2, 0})});
  const ValueId soft =
      test.graph.node("distillation_loss", {test.logits, test.random("teacher", {2, 3})}, {{"temperature", 2.0}});
  const ValueId loss = test.graph.node("add", {test.graph.node("scale", {hard}, {{"factor", 0.3}}),
                                               test.graph.node("scale", {soft}, {{"factor", 0.7}})});
  expect_gradients(test, loss, test.weights, 1e-6);
}

TEST(Differentiate, SumsWhereGradientsMeet) {
  TestGraph test;
  const ValueId w = test.random("w", {3, 3});
  const ValueId y = test.graph.node("matmul", {test.graph.node("matmul", {w, w}), test.graph.node("linear", {w, w})});
  expect_gradients(test, test.loss_of(y), {w});
}

TEST(Differentiate, ALossThatDoesNotDependHasNoGradient) {
  TestGraph test;
  const ValueId x = test.random("x", {2});
  const ValueId other = test.random("other", {2});
  const ValueId loss = test.loss_of(x);
  const size_t n_nodes = test.graph.nodes().size();
  EXPECT_EQ(differentiate(test.graph, loss, std::vector{other}), std::vector{kNoValue});
  EXPECT_EQ(test.graph.nodes().size(), n_nodes);
}

TEST(Differentiate, OfIntermediateValuesAndTheLossItself) {
  TestGraph test;
  const ValueId x = test.floats("x", {3}, {1});
  const ValueId y = test.graph.node("scale", {x}, {{"factor", 2.0}});
  const ValueId loss = test.graph.node("scale", {y}, {{"factor", 5.0}});
  const auto d = differentiate(test.graph, loss, std::vector{loss, y, x});
  expect_values(test.evaluate(d[0]), {1});
  expect_values(test.evaluate(d[1]), {5});
  expect_values(test.evaluate(d[2]), {10});
}

TEST(Differentiate, WorksInF32) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kF32, {graph.symbol("n"), Graph::constant_dim(2)}});
  const ValueId w = graph.add_parameter("w", {1, 2});
  const ValueId target = graph.add_input("t", {DType::kF32, {graph.symbol("n"), Graph::constant_dim(1)}});
  const ValueId loss = graph.node("mean_squared_error", {graph.node("linear", {x, w}), target});
  graph.add_output("d_w", differentiate(graph, loss, std::vector{w})[0]);
  verify(graph);
  const auto outputs =
      evaluate_reference(graph, {{"x", Tensor::from({1, 2, 3, 4}, {2, 2})}, {"t", Tensor::from({0, 1}, {2, 1})}},
                         {{"w", Tensor::from({1, -1}, {1, 2})}});
  // Errors are -1 and -2; d_w = Σ error · x.
  EXPECT_EQ(outputs.at("d_w").floats()[0], -7);
  EXPECT_EQ(outputs.at("d_w").floats()[1], -10);
}

TEST(Differentiate, Refusals) {
  TestGraph test;
  const ValueId x = test.random("x", {2, 2});
  expect_error(ErrorCode::kFailed, "not [1]", [&] { differentiate(test.graph, x, std::vector{x}); });
  expect_error(ErrorCode::kFailed, "no such value", [&] { differentiate(test.graph, x, std::vector{ValueId{99}}); });
  const ValueId y = test.graph.node("softmax", {x}, {}, "head");
  const ValueId loss = test.loss_of(y);
  expect_error(ErrorCode::kFailed, "softmax 'head': has no gradient",
               [&] { differentiate(test.graph, loss, std::vector{x}); });
}

}  // namespace
}  // namespace fettle
