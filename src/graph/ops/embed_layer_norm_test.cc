#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

const Attributes kEps{{"eps", 1e-5}};

struct Fixture : TestGraph {
  ValueId words = random("words", {5, 4});
  ValueId positions = random("positions", {3, 4});
  ValueId gamma = random("gamma", {4});
  ValueId beta = random("beta", {4});
  ValueId word_ids = indices("word_ids", {4, 0, 4, 2});
  ValueId position_ids = indices("position_ids", {0, 1, 2, 0});
};

TEST(EmbedLayerNorm, IsTheNormOfTheSumOfRows) {
  Fixture test;
  Graph& graph = test.graph;
  const ValueId sum = graph.node("add", {graph.node("gather_rows", {test.words, test.word_ids}),
                                         graph.node("gather_rows", {test.positions, test.position_ids})});
  const ValueId expected = graph.node("layer_norm", {sum, test.gamma, test.beta}, kEps);
  const ValueId y = graph.node(
      "embed_layer_norm", {test.gamma, test.beta, test.words, test.word_ids, test.positions, test.position_ids}, kEps);
  EXPECT_EQ(graph.type(y), graph.type(expected));
  EXPECT_EQ(test.evaluate(y), test.evaluate(expected));
}

TEST(EmbedLayerNorm, SumsFromTheFirstTableToTheLast) {
  TestGraph test;
  const ValueId one = test.floats("one", {1}, {1});
  const ValueId zero = test.indices("id", {0});
  const auto sum_of = [&](const std::vector<double>& rows) {
    Graph graph;
    TestGraph part = test;
    std::vector<ValueId> inputs{one, one};
    for (size_t i = 0; i < rows.size(); ++i) {
      // Two columns: the second is 0, so that the norm does not hide the sum's rounding.
      inputs.push_back(part.floats("t" + std::to_string(i), {rows[i], 0}, {1, 2}));
      inputs.push_back(zero);
    }
    inputs[0] = part.floats("gamma", {1, 1}, {2});
    inputs[1] = part.floats("beta", {0, 0}, {2});
    return part.evaluate(part.graph.node("embed_layer_norm", inputs, {{"eps", 0.5}}));
  };
  // 1e16 + 1 is 1e16 in double.
  EXPECT_EQ(sum_of({1e16, 1, -1e16}), sum_of({0, 0, 0}));
  EXPECT_EQ(sum_of({1e16, -1e16, 1}), sum_of({1, 0, 0}));
}

TEST(EmbedLayerNorm, AnIdOutsideItsTableIsBadInput) {
  for (const int32_t id : {-1, 3}) {
    Fixture test;
    const ValueId bad = test.indices("bad", {0, id, 1, 1});
    const ValueId y =
        test.graph.node("embed_layer_norm", {test.gamma, test.beta, test.words, test.word_ids, test.positions, bad},
                        kEps, "embeddings");
    expect_error(ErrorCode::kBadInput, "'embeddings': id " + std::to_string(id), [&] { test.evaluate(y); });
  }
}

TEST(EmbedLayerNorm, RefusesWhatDoesNotFit) {
  Fixture test;
  const ValueId wide = test.random("wide", {3, 5});
  const ValueId few = test.indices("few", {1, 2});
  const auto refuse = [&](const std::string& text, const std::vector<ValueId>& inputs) {
    expect_error(ErrorCode::kFailed, text, [&] { test.graph.node("embed_layer_norm", inputs, kEps); });
  };
  refuse("widths of tables", {test.gamma, test.beta, test.words, test.word_ids, wide, test.word_ids});
  refuse("numbers of ids", {test.gamma, test.beta, test.words, test.word_ids, test.positions, few});
  refuse("ids of the last table", {test.gamma, test.beta, test.words, test.word_ids, test.positions});
  refuse("takes 4 to 18 inputs", {test.gamma, test.beta, test.words});
}

TEST(EmbedLayerNorm, CostCountsTheRowsReadNotTheTables) {
  Fixture test;
  test.graph.node("embed_layer_norm",
                  {test.gamma, test.beta, test.words, test.word_ids, test.positions, test.position_ids}, kEps);
  const Node& node = test.graph.nodes()[0];
  const Cost cost = node.op->cost({test.graph, node}, {});
  EXPECT_EQ(cost.bytes, (2 + 1) * 4 * 4 * 8 + 2 * 4 * 8 + 2 * 4 * 4);
  EXPECT_EQ(cost.flops, (1 + 8) * 4 * 4);
}

}  // namespace
}  // namespace fettle
