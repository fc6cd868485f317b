#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

TEST(LinearQkv, IsThreeLinearsSideBySide) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  std::vector<ValueId> inputs{x};
  std::vector<std::vector<double>> parts;
  for (const char* name : {"q", "k", "v"}) {
    const ValueId weight = test.random(std::string("w") + name, {2, 4});
    const ValueId bias = test.random(std::string("b") + name, {2});
    inputs.insert(inputs.end(), {weight, bias});
    parts.push_back(test.evaluate(test.graph.node("linear", {x, weight, bias})));
  }
  std::vector<double> expected;
  for (size_t row = 0; row < 3; ++row) {
    for (const auto& part : parts) expected.insert(expected.end(), {part[2 * row], part[2 * row + 1]});
  }
  expect_values(test.evaluate(test.graph.node("linear_qkv", inputs)), expected);
}

TEST(LinearQkv, TakesPartsOfAnyWidth) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  const ValueId weight = test.random("w", {2, 4});
  const ValueId bias = test.random("b", {2});
  const ValueId wide = test.random("wide", {3, 4});
  const ValueId wide_bias = test.random("wide_bias", {3});
  const std::vector<double> narrow_y = test.evaluate(test.graph.node("linear", {x, weight, bias}));
  const std::vector<double> wide_y = test.evaluate(test.graph.node("linear", {x, wide, wide_bias}));
  const ValueId y = test.graph.node("linear_qkv", {x, weight, bias, wide, wide_bias});
  std::vector<double> expected;
  for (size_t row = 0; row < 3; ++row) {
    expected.insert(expected.end(), {narrow_y[2 * row], narrow_y[2 * row + 1]});
    expected.insert(expected.end(), {wide_y[3 * row], wide_y[3 * row + 1], wide_y[3 * row + 2]});
  }
  expect_values(test.evaluate(y), expected);
  EXPECT_EQ(test.evaluate(test.graph.node("linear_qkv", {x, weight, bias})), narrow_y);
  const Node& node = test.graph.nodes()[2];
  EXPECT_EQ(node.op->cost({test.graph, node}, {}).flops, 2 * 3 * (2 + 3) * 4);
}

TEST(LinearQkv, RefusesWhatDoesNotFit) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  const ValueId weight = test.random("w", {2, 4});
  const ValueId bias = test.random("b", {2});
  const ValueId other = test.random("other", {2, 3});
  const auto refuse = [&](const std::string& text, const std::vector<ValueId>& inputs) {
    expect_error(ErrorCode::kFailed, text, [&] { test.graph.node("linear_qkv", inputs); });
  };
  refuse("widths of x and a weight", {x, weight, bias, other, bias});
  refuse("a bias is missing", {x, weight, bias, weight});
  refuse("input 3 is missing", {x, weight, bias, weight, kNoValue});
  refuse("takes 3 to 7 inputs", {x, weight, bias, weight, bias, weight, bias, weight, bias});
}

}  // namespace
}  // namespace fettle
