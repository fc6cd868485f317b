#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

TEST(Linear, MultipliesByTheTransposedWeightAndAddsTheBias) {
  TestGraph test;
  const ValueId x = test.floats("x", {1, 2, 3, 4, 5, 6}, {2, 3});
  const ValueId weight = test.floats("w", {1, 0, -1, 2, 1, 0}, {2, 3});
  const ValueId bias = test.floats("b", {10, 20}, {2});
  expect_values(test.evaluate(test.graph.node("linear", {x, weight, bias})), {8, 24, 8, 33});
  expect_values(test.evaluate(test.graph.node("linear", {x, weight})), {-2, 4, -2, 13});
  expect_values(test.evaluate(test.graph.node("linear", {x, weight}, {{"activation", "relu"}})), {0, 4, 0, 13});
}

TEST(Linear, Gradient) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  const ValueId weight = test.random("w", {5, 4});
  const ValueId bias = test.random("b", {5});
  expect_gradients(test, test.loss_of(test.graph.node("linear", {x, weight, bias})), {x, weight, bias});
}

TEST(Linear, HasNoGradientWithAFusedActivation) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  const ValueId y = test.graph.node("linear", {x, test.random("w", {5, 4})}, {{"activation", "gelu"}}, "ffn");
  const ValueId loss = test.loss_of(y);
  expect_error(ErrorCode::kFailed, "linear 'ffn'", [&] { differentiate(test.graph, loss, std::vector{x}); });
}

TEST(Linear, ComputesOnlyTheGradientsThatAreWanted) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  const ValueId weight = test.random("w", {5, 4});
  const ValueId loss = test.loss_of(test.graph.node("linear", {x, weight, test.random("b", {5})}));
  const size_t before = test.graph.nodes().size();
  differentiate(test.graph, loss, std::vector{weight});
  EXPECT_EQ(test.graph.nodes().size() - before, 2u) << print(test.graph);  // of the loss, and d_weight
}

TEST(Linear, RefusesWhatDoesNotFit) {
  TestGraph test;
  Graph& graph = test.graph;
  const ValueId x = test.random("x", {3, 4});
  const ValueId weight = test.random("w", {5, 4});
  const auto refused = [&](const std::string& text, std::vector<ValueId> inputs, Attributes attributes = {}) {
    expect_error(ErrorCode::kFailed, text, [&] { graph.node("linear", inputs, attributes, "query"); });
  };
  refused("linear 'query'", {x});
  refused("takes 2 to 3 inputs, not 4", {x, weight, kNoValue, kNoValue});
  refused("input 1 is missing", {x, kNoValue});
  refused("widths of x and weight differ: 4 and 3", {x, test.random("narrow", {5, 3})});
  refused("input 2 is f64[4], not [5]", {x, weight, test.random("short", {4})});
  refused("mix f32 and f64", {x, graph.add_parameter("p", {5, 4})});
  refused("not of rank 2", {x, test.random("vector", {4})});
  refused("not f32", {test.indices("i", {1}), weight});
  refused("not one of none, relu, tanh, gelu, gelu_tanh", {x, weight}, {{"activation", "swish"}});
  refused("not one of", {x, weight}, {{"activation", true}});
}

TEST(Linear, Cost) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kF32, {graph.symbol("tokens"), Graph::constant_dim(4)}});
  graph.node("linear", {x, graph.add_parameter("w", {5, 4}), graph.add_parameter("b", {5})});
  const Node& node = graph.nodes()[0];
  const Cost cost = node.op->cost({graph, node}, {7});
  EXPECT_EQ(cost.flops, 2 * 7 * 4 * 5);
  EXPECT_EQ(cost.bytes, 4 * (7 * 4 + 5 * 4 + 5 + 7 * 5));
}

}  // namespace
}  // namespace fettle
