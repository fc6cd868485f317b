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

TEST(LinearQkv, RefusesUnequalWidths) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  const ValueId weight = test.random("w", {2, 4});
  const ValueId bias = test.random("b", {2});
  const ValueId wide = test.random("wide", {3, 4});
  const ValueId wide_bias = test.random("wide_bias", {3});
  expect_error(ErrorCode::kFailed, "widths of q, k and v", [&] {
    test.graph.node("linear_qkv", {x, weight, bias, weight, bias, wide, wide_bias});
  });
  expect_error(ErrorCode::kFailed, "takes 7 inputs", [&] { test.graph.node("linear_qkv", {x, weight, bias}); });
}

}  // namespace
}  // namespace fettle
