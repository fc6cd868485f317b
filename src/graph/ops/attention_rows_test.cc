#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

const Attributes kAttributes{{"n_heads", int64_t{2}}, {"head_dim", int64_t{3}}, {"scale", 0.7}};

struct Fixture : TestGraph {
  ValueId q = random("q", {6, 6});
  ValueId k = random("k", {6, 6});
  ValueId v = random("v", {6, 6});
  // One token, none, five.
  ValueId offsets = indices("offsets", {0, 1, 1, 6});
  ValueId kv = floats("kv", columns({"k", "v"}), {6, 12});

  std::vector<double> columns(const std::vector<std::string>& names) {
    std::vector<double> all;
    for (int64_t row = 0; row < 6; ++row) {
      for (const std::string& name : names) {
        const double* from = tensors[name].data<double>() + row * 6;
        all.insert(all.end(), from, from + 6);
      }
    }
    return all;
  }
  ValueId rows_of(ValueId rows) {
    return graph.node("attention_rows", {graph.node("gather_rows", {q, rows}), kv, rows, offsets}, kAttributes);
  }
};

TEST(AttentionRows, AreThoseOfAttention) {
  Fixture test;
  const ValueId all = test.graph.node("attention", {test.q, test.k, test.v, test.offsets}, kAttributes);
  for (const std::vector<int32_t>& ids :
       std::vector<std::vector<int32_t>>{{0, 1}, {5, 0, 2, 2}, {3}, {0, 1, 2, 3, 4, 5}, {}}) {
    const ValueId rows = test.indices("rows " + std::to_string(ids.size()), ids);
    const ValueId expected = test.graph.node("gather_rows", {all, rows});
    EXPECT_EQ(test.evaluate(test.rows_of(rows)), test.evaluate(expected));
  }
}

TEST(AttentionRows, RowsOutsideTheTokensAreBadInput) {
  for (const int32_t row : {-1, 6}) {
    Fixture test;
    const ValueId q = test.random("q of one", {1, 6});
    const ValueId rows = test.indices("rows", {row});
    const ValueId y = test.graph.node("attention_rows", {q, test.kv, rows, test.offsets}, kAttributes);
    expect_error(ErrorCode::kBadInput, "id " + std::to_string(row), [&] { test.evaluate(y); });
  }
  for (const std::vector<int32_t>& values : std::vector<std::vector<int32_t>>{{}, {0, 5}, {1, 6}, {0, 4, 2, 6}}) {
    Fixture test;
    test.offsets = test.indices("bad", values);
    const ValueId y = test.rows_of(test.indices("rows", {1}));
    expect_error(ErrorCode::kBadInput, "offsets", [&] { test.evaluate(y); });
  }
}

TEST(AttentionRows, RefusesWhatDoesNotFit) {
  Fixture test;
  const ValueId rows = test.indices("rows", {0, 1, 2, 3, 4, 5});
  const ValueId few = test.indices("few", {0, 1});
  const auto refuse = [&](const std::string& text, const std::vector<ValueId>& inputs) {
    expect_error(ErrorCode::kFailed, text, [&] { test.graph.node("attention_rows", inputs, kAttributes); });
  };
  refuse("numbers of queries and rows", {test.q, test.kv, few, test.offsets});
  refuse("not twice that of q", {test.q, test.k, rows, test.offsets});
  refuse("not n_heads · head_dim", {test.kv, test.kv, rows, test.offsets});
}

TEST(AttentionRows, CostIsThatOfTheQueriesRead) {
  Graph graph;
  const Dim tokens = graph.symbol("tokens");
  const Dim batch = graph.symbol("batch");
  Dim ends = batch;
  ends.value = 1;
  const ValueId q = graph.add_input("q", {DType::kF32, {batch, Graph::constant_dim(6)}});
  const ValueId kv = graph.add_input("kv", {DType::kF32, {tokens, Graph::constant_dim(12)}});
  const ValueId rows = graph.add_input("rows", {DType::kI32, {batch}});
  const ValueId offsets = graph.add_input("offsets", {DType::kI32, {ends}});
  graph.node("attention_rows", {q, kv, rows, offsets}, kAttributes);
  const Node& node = graph.nodes()[0];
  // 20 tokens in 4 sequences: 4 queries of 5 keys each.
  const Cost cost = node.op->cost({graph, node}, {20, 4});
  EXPECT_EQ(cost.flops, 4 * 5 * 2 * (4 * 3 + 5));
  EXPECT_EQ(cost.bytes, 4 * (4 * 6 + 20 * 12 + 4 * 6 + 4 + 5));
}

}  // namespace
}  // namespace fettle
