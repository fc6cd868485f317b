#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

TEST(GatherRows, PicksRows) {
  TestGraph test;
  const ValueId table = test.floats("table", {0, 1, 10, 11, 20, 21}, {3, 2});
  const ValueId ids = test.indices("ids", {2, 0, 2});
  expect_values(test.evaluate(test.graph.node("gather_rows", {table, ids})), {20, 21, 0, 1, 20, 21});
}

TEST(GatherRows, GradientSumsRowsWithTheSameId) {
  TestGraph test;
  const ValueId table = test.random("table", {4, 3});
  const ValueId ids = test.indices("ids", {2, 0, 2, 2});
  expect_gradients(test, test.loss_of(test.graph.node("gather_rows", {table, ids})), {table});
}

TEST(GatherRows, AnIdOutsideTheTableIsBadInput) {
  for (const int32_t id : {-1, 3}) {
    TestGraph test;
    const ValueId table = test.random("table", {3, 2});
    const ValueId y = test.graph.node("gather_rows", {table, test.indices("ids", {0, id})}, {}, "words");
    expect_error(ErrorCode::kBadInput, "gather_rows 'words': id " + std::to_string(id), [&] { test.evaluate(y); });
  }
}

TEST(GatherRows, CostCountsTheRowsReadNotTheTable) {
  TestGraph test;
  test.graph.node("gather_rows", {test.random("table", {1000, 2}), test.indices("ids", {0, 1, 2})});
  const Node& node = test.graph.nodes()[0];
  EXPECT_EQ(node.op->cost({test.graph, node}, {}).bytes, 3 * 4 + 2 * 3 * 2 * 8);
}

TEST(ScatterRows, GradientAndRange) {
  TestGraph test;
  const ValueId d_y = test.random("d_y", {3, 2});
  const ValueId table = test.random("table", {4, 2});
  const ValueId y = test.graph.node("scatter_rows", {test.indices("ids", {1, 3, 1}), d_y, table});
  expect_gradients(test, test.loss_of(y), {d_y});
  const ValueId bad = test.graph.node("scatter_rows", {test.indices("bad", {1, 4, 1}), d_y, table});
  expect_error(ErrorCode::kBadInput, "id 4 is outside [0, 4)", [&] { test.evaluate(bad); });
}

// What it leaves out of scatter_rows' table are rows of zeros.
TEST(SumEqualRows, IsScatterRowsWithoutTheZeros) {
  TestGraph test;
  const ValueId d_y = test.floats("d_y", {1, 2, 10, 20, 100, 200, 1000, 2000}, {4, 2});
  const ValueId ids = test.indices("ids", {5, 2, 5, 0});
  const std::vector<ValueId> sums = test.graph.add_nodes("sum_equal_rows", {ids, d_y}, {{"table_rows", int64_t{6}}});
  expect_values(test.evaluate(sums[0]), {1000, 2000, 10, 20, 101, 202, 0, 0});
  Graph copy = test.graph;
  copy.add_output("row ids", sums[1]);
  const Tensor found = evaluate_reference(copy, test.tensors, {}).at("row ids");
  EXPECT_EQ(std::vector<int32_t>(found.data<int32_t>(), found.data<int32_t>() + found.size()),
            (std::vector<int32_t>{0, 2, 5, -1}));
  expect_values(test.evaluate(sums[2]), {1000.0 * 1000 + 2000.0 * 2000 + 10 * 10 + 20 * 20 + 101 * 101 + 202 * 202});
  const std::vector<ValueId> bad = test.graph.add_nodes("sum_equal_rows", {ids, d_y}, {{"table_rows", int64_t{5}}});
  expect_error(ErrorCode::kBadInput, "id 5 is outside [0, 5)", [&] { test.evaluate(bad[0]); });
}

}  // namespace
}  // namespace fettle
