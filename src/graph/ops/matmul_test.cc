#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

struct Transposes {
  bool a;
  bool b;
};
class MatmulOp : public testing::TestWithParam<Transposes> {};

TEST_P(MatmulOp, ProductAndGradient) {
  const auto [transpose_a, transpose_b] = GetParam();
  TestGraph test;
  const ValueId a = test.random("a", transpose_a ? Shape{4, 3} : Shape{3, 4});
  const ValueId b = test.random("b", transpose_b ? Shape{5, 4} : Shape{4, 5});
  const ValueId c = test.graph.node("matmul", {a, b}, {{"transpose_a", transpose_a}, {"transpose_b", transpose_b}});
  const double* at_a = test.tensors["a"].data<double>();
  const double* at_b = test.tensors["b"].data<double>();
  std::vector<double> expected;
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 5; ++j) {
      double sum = 0;
      for (int p = 0; p < 4; ++p) {
        sum += (transpose_a ? at_a[p * 3 + i] : at_a[i * 4 + p]) * (transpose_b ? at_b[j * 4 + p] : at_b[p * 5 + j]);
      }
      expected.push_back(sum);
    }
  }
  expect_values(test.evaluate(c), expected);
  expect_gradients(test, test.loss_of(c), {a, b});
}

INSTANTIATE_TEST_SUITE_P(AllTransposes, MatmulOp,
                         testing::Values(Transposes{false, false}, Transposes{false, true}, Transposes{true, false},
                                         Transposes{true, true}));

TEST(Matmul, RefusesUnequalInnerDimensions) {
  TestGraph test;
  const ValueId a = test.random("a", {3, 4});
  expect_error(ErrorCode::kFailed, "inner dimensions differ: 4 and 3", [&] { test.graph.node("matmul", {a, a}); });
  expect_error(ErrorCode::kFailed, "'transpose_a' is not a boolean", [&] {
    test.graph.node("matmul", {a, a}, {{"transpose_a", int64_t{1}}});
  });
}

TEST(Matmul, Cost) {
  TestGraph test;
  test.graph.node("matmul", {test.random("a", {4, 3}), test.random("b", {4, 5})}, {{"transpose_a", true}});
  const Node& node = test.graph.nodes()[0];
  EXPECT_EQ(node.op->cost({test.graph, node}, {}).flops, 2 * 3 * 4 * 5);
}

}  // namespace
}  // namespace fettle
