#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

TEST(LayerNorm, NormalizesRows) {
  TestGraph test;
  const ValueId x = test.floats("x", {1, 2, 3, 6, 0, 0, 0, 0}, {2, 4});
  const ValueId gamma = test.floats("gamma", {1, 1, 1, 2}, {4});
  const ValueId beta = test.floats("beta", {0, 0, 5, 0}, {4});
  const std::vector<ValueId> outputs = test.graph.add_nodes("layer_norm", {x, gamma, beta}, {{"eps", 0.25}});
  ASSERT_EQ(outputs.size(), 3u);
  // Row 0: mean 3, variance 14/4, rstd 1/sqrt(3.75).
  const double rstd = 1 / std::sqrt(3.75);
  expect_values(test.evaluate(outputs[0]), {-2 * rstd, -rstd, 5, 6 * rstd, 0, 0, 5, 0});
  expect_values(test.evaluate(outputs[1]), {3, 0});
  expect_values(test.evaluate(outputs[2]), {rstd, 2});
}

TEST(LayerNorm, ResidualIsAddedFirst) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 4});
  const ValueId residual = test.random("residual", {3, 4});
  const ValueId gamma = test.random("gamma", {4});
  const ValueId beta = test.random("beta", {4});
  const Attributes eps{{"eps", 1e-12}};
  const ValueId sum = test.graph.node("add", {x, residual});
  expect_values(test.evaluate(test.graph.node("layer_norm", {x, gamma, beta, residual}, eps)),
                test.evaluate(test.graph.node("layer_norm", {sum, gamma, beta}, eps)));
}

TEST(LayerNorm, Gradient) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 5});
  const ValueId gamma = test.random("gamma", {5});
  const ValueId beta = test.random("beta", {5});
  const ValueId y = test.graph.node("layer_norm", {x, gamma, beta}, {{"eps", 1e-5}});
  expect_gradients(test, test.loss_of(y), {x, gamma, beta});
}

TEST(LayerNorm, Refusals) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 5});
  const ValueId width = test.random("width", {5});
  const ValueId rows = test.random("rows", {3});
  const Attributes eps{{"eps", 1e-5}};
  expect_error(ErrorCode::kFailed, "not [5]", [&] { test.graph.node("layer_norm", {x, rows, width}, eps); });
  expect_error(ErrorCode::kFailed, "'eps' is missing", [&] { test.graph.node("layer_norm", {x, width, width}); });
  const auto outputs = test.graph.add_nodes("layer_norm", {x, width, width, x}, eps);
  const ValueId loss = test.loss_of(outputs[0]);
  expect_error(ErrorCode::kFailed, "fused residual", [&] { differentiate(test.graph, loss, std::vector{x}); });
  const auto plain = test.graph.add_nodes("layer_norm", {x, width, width}, eps);
  const ValueId of_mean = test.loss_of(plain[1]);
  expect_error(ErrorCode::kFailed, "mean and rstd", [&] { differentiate(test.graph, of_mean, std::vector{x}); });
}

}  // namespace
}  // namespace fettle
