// add, scale, sum_rows, activate and dropout.
#include <numbers>

#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

TEST(Add, SumsAndPassesTheGradientOn) {
  TestGraph test;
  const ValueId a = test.floats("a", {1, 2}, {1, 2});
  const ValueId b = test.floats("b", {10, 20}, {1, 2});
  const ValueId y = test.graph.node("add", {a, b});
  expect_values(test.evaluate(y), {11, 22});
  expect_gradients(test, test.loss_of(y), {a, b});
  expect_gradients(test, test.loss_of(test.graph.node("add", {a, a})), {a});
}

TEST(Add, AConstantAndASymbolDoNotMatch) {
  Graph graph;
  const ValueId a = graph.add_input("a", {DType::kF32, {graph.symbol("tokens"), Graph::constant_dim(4)}});
  const ValueId b = graph.add_input("b", {DType::kF32, {Graph::constant_dim(8), Graph::constant_dim(4)}});
  expect_error(ErrorCode::kFailed, "inputs 0 and 1 differ: f32[tokens, 4] and f32[8, 4]", [&] {
    graph.node("add", {a, b});
  });
}

TEST(Scale, ScalesByAnyFactor) {
  TestGraph test;
  const ValueId x = test.floats("x", {1, -2}, {2});
  const ValueId y = test.graph.node("scale", {x}, {{"factor", -1.5}});
  expect_values(test.evaluate(y), {-1.5, 3});
  expect_gradients(test, test.loss_of(y), {x});
  expect_error(ErrorCode::kFailed, "'factor' is missing", [&] { test.graph.node("scale", {x}); });
  expect_error(ErrorCode::kFailed, "'factor' is out of range", [&] {
    test.graph.node("scale", {x}, {{"factor", std::nan("")}});
  });
}

TEST(SumRows, SumsColumns) {
  TestGraph test;
  const ValueId x = test.floats("x", {1, 2, 3, 10, 20, 30}, {2, 3});
  expect_values(test.evaluate(test.graph.node("sum_rows", {x})), {11, 22, 33});
  const ValueId empty = test.floats("empty", {}, {0, 2});
  expect_values(test.evaluate(test.graph.node("sum_rows", {empty})), {0, 0});
}

class Activations : public testing::TestWithParam<const char*> {};

TEST_P(Activations, Gradient) {
  TestGraph test;
  const ValueId x = test.floats("x", {-7, -3, -1, -0.5, -0.1, 0.1, 0.5, 1, 3, 7}, {10});
  expect_gradients(test, test.loss_of(test.graph.node("activate", {x}, {{"kind", GetParam()}})), {x});
}

INSTANTIATE_TEST_SUITE_P(Kinds, Activations, testing::Values("relu", "tanh", "gelu", "gelu_tanh"));

TEST(Activate, KnownValues) {
  TestGraph test;
  const ValueId x = test.floats("x", {-1, 0, 1, 2}, {4});
  const auto activated = [&](const char* kind) {
    return test.evaluate(test.graph.node("activate", {x}, {{"kind", kind}}));
  };
  expect_values(activated("relu"), {0, 0, 1, 2});
  expect_values(activated("tanh"), {-0.7615941559557649, 0, 0.7615941559557649, 0.9640275800758169});
  // Φ(1) = 0.8413447460685429, Φ(2) = 0.9772498680518208.
  expect_values(activated("gelu"), {-0.15865525393145707, 0, 0.8413447460685429, 1.9544997361036416});
  expect_values(activated("gelu_tanh"), {-0.15880800939172324, 0, 0.8411919906082768, 1.954597694087775}, 1e-10);
  expect_error(ErrorCode::kFailed, "'kind' is not one of", [&] { test.graph.node("activate", {x}); });
}

TEST(Dropout, KeepsByTheSharedDefinitionAndRescales) {
  TestGraph test;
  const ValueId x = test.floats("x", std::vector<double>(1000, 1), {1000});
  const ValueId y = test.graph.node("dropout", {x}, {{"p", 0.25}, {"stream", int64_t{3}}});
  const std::vector<double> values = test.evaluate(y, 42);
  size_t n_kept = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(values[i] != 0, dropout_keep(42, 3, i, 0.25f)) << i;
    EXPECT_DOUBLE_EQ(values[i], values[i] != 0 ? 1 / 0.75 : 0);
    n_kept += values[i] != 0 ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(n_kept), 750, 60);  // more than four deviations
  EXPECT_NE(test.evaluate(y, 43), values);
}

TEST(Dropout, ProbabilityZeroKeepsAll) {
  TestGraph test;
  const ValueId x = test.random("x", {100});
  const ValueId y = test.graph.node("dropout", {x}, {{"p", 0.0}, {"stream", int64_t{0}}});
  EXPECT_EQ(test.evaluate(y), values_f64(test.tensors["x"]));
  expect_error(ErrorCode::kFailed, "'p' is out of range", [&] {
    test.graph.node("dropout", {x}, {{"p", 1.0}, {"stream", int64_t{0}}});
  });
}

TEST(Dropout, Gradient) {
  TestGraph test;
  const ValueId x = test.random("x", {4, 6});
  const ValueId y = test.graph.node("dropout", {x}, {{"p", 0.4}, {"stream", int64_t{9}}});
  expect_gradients(test, test.loss_of(y), {x});
}

}  // namespace
}  // namespace fettle
