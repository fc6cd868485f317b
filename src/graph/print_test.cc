#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

TEST(Print, OneNodeALine) {
  Graph graph;
  const Dim tokens = graph.symbol("tokens");
  Dim ends = graph.symbol("batch");
  ends.value = 1;
  const ValueId x = graph.add_input("x", {DType::kF32, {tokens, Graph::constant_dim(4)}});
  graph.add_input("offsets", {DType::kI32, {ends}});
  const ValueId y = graph.node("linear", {x, graph.add_parameter("w", {4, 4}), kNoValue}, {}, "dense");
  const ValueId gamma = graph.add_parameter("gamma", {4});
  const ValueId z = graph.node("layer_norm", {y, gamma, gamma, x}, {{"eps", 1e-12}});
  graph.add_output("z", z);
  EXPECT_EQ(print(graph),
            "input x : f32[tokens, 4]\n"
            "input offsets : i32[batch + 1]\n"
            "parameter w : f32[4, 4]\n"
            "parameter gamma : f32[4]\n"
            "%3 = linear(x, w, -) : f32[tokens, 4]  # dense\n"
            "%5, %6, %7 = layer_norm(%3, gamma, gamma, x) {eps=1e-12} : f32[tokens, 4] f32[tokens] f32[tokens]\n"
            "output z = %5\n");
}

TEST(Print, Attributes) {
  TestGraph test;
  const ValueId x = test.floats("x", {1}, {1, 1});
  test.graph.node("matmul", {x, x}, {{"transpose_a", true}});
  test.graph.node("activate", {x}, {{"kind", "relu"}, {"axes", std::vector<int64_t>{1, 2}}, {"n", int64_t{-3}}});
  EXPECT_EQ(print(test.graph),
            "input x : f64[1, 1]\n"
            "%1 = matmul(x, x) {transpose_a=true} : f64[1, 1]\n"
            "%2 = activate(x) {axes=[1, 2], kind=\"relu\", n=-3} : f64[1, 1]\n");
}

TEST(Print, GraphsThatAreBroken) {
  TestGraph test;
  test.graph.node("scale", {test.floats("x", {1}, {1})}, {{"factor", 2.0}});
  test.graph.set_nodes({{.op = nullptr, .name = "", .inputs = {5, -3}, .outputs = {9}, .attributes = {}}});
  EXPECT_EQ(print(test.graph),
            "input x : f64[1]\n"
            "? = ?(?, ?) : ?\n");
}

}  // namespace
}  // namespace fettle
