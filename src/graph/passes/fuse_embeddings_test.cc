// Sums of embeddings and their norm become one op, or are left with a reason.
#include "graph/passes/rewrite.h"
#include "graph/test_encoder.h"

namespace fettle {
namespace {

struct Fixture : TestGraph {
  static constexpr int64_t kWidth = 4;

  // Rows of a table of its own.
  ValueId rows(const std::string& name, const std::vector<int32_t>& ids) {
    const ValueId table = random(name, {5, kWidth});
    return graph.node("gather_rows", {table, indices(name + " ids", ids)}, {}, name);
  }
  std::vector<ValueId> norm(ValueId x) {
    return graph.add_nodes("layer_norm", {x, gamma, beta}, {{"eps", 1e-6}}, "norm");
  }
  ValueId add(ValueId a, ValueId b) { return graph.node("add", {a, b}, {}, "sum"); }

  // Runs the pass, which must keep the outputs; returns what it said.
  std::string fuse() {
    const auto before = evaluate_reference(graph, tensors, {});
    FusionReports reports;
    const int64_t n = fuse_embeddings(graph, &reports);
    verify(graph);
    graph.remove_dead();
    verify(graph);
    const auto after = evaluate_reference(graph, tensors, {});
    for (const auto& [name, value] : before) EXPECT_EQ(values_f64(after.at(name)), values_f64(value)) << name;
    std::string said;
    for (const FusionReport& report : reports) {
      EXPECT_EQ(report.fusion, "fuse_embeddings");
      said += (said.empty() ? "" : "; ") + report.node + (report.used ? " used: " : ": ") + report.reason;
    }
    EXPECT_EQ(n, static_cast<int64_t>(said.find(" used: ") != std::string::npos));
    return said;
  }

  ValueId gamma = random("gamma", {kWidth});
  ValueId beta = random("beta", {kWidth});
  ValueId a = rows("a", {0, 4, 2});
  ValueId b = rows("b", {1, 1, 3});
  ValueId c = rows("c", {4, 0, 0});
};

TEST(FuseEmbeddings, OfOneToThreeTables) {
  for (const int n_tables : {1, 2, 3}) {
    Fixture test;
    ValueId sum = test.a;
    if (n_tables > 1) sum = test.add(sum, test.b);
    if (n_tables > 2) sum = test.add(sum, test.c);
    test.graph.add_output("y", test.norm(sum)[0]);
    EXPECT_EQ(test.fuse(), "norm used: " + std::to_string(n_tables) + " tables");
    ASSERT_EQ(test.graph.nodes().size(), 1u);
    EXPECT_EQ(test.graph.nodes()[0].op->name(), "embed_layer_norm");
    EXPECT_EQ(test.fuse(), "");
  }
}

TEST(FuseEmbeddings, KeepsTheOrderOfTheSumOnEitherSide) {
  Fixture test;
  test.graph.add_output("y", test.norm(test.add(test.c, test.add(test.b, test.a)))[0]);
  EXPECT_EQ(test.fuse(), "norm used: 3 tables");
  const std::vector<ValueId>& inputs = test.graph.nodes()[0].inputs;
  EXPECT_EQ(test.graph.value(inputs[2]).name, "b");
  EXPECT_EQ(test.graph.value(inputs[4]).name, "a");
  EXPECT_EQ(test.graph.value(inputs[6]).name, "c");
}

TEST(FuseEmbeddings, NotWhenAPartIsUsedElsewhere) {
  for (const bool of_sum : {false, true}) {
    Fixture test;
    const ValueId sum = test.add(test.a, test.b);
    test.graph.add_output("y", test.norm(test.add(sum, test.c))[0]);
    test.graph.add_output("part", of_sum ? sum : test.c);
    EXPECT_EQ(test.fuse(), "norm: a part of the sum has other users");
  }
  Fixture twice;
  twice.graph.add_output("y", twice.norm(twice.add(twice.a, twice.a))[0]);
  EXPECT_EQ(twice.fuse(), "norm: a part of the sum has other users");
}

TEST(FuseEmbeddings, NotWithoutANormOrWhenItsMomentsAreUsed) {
  Fixture bare;
  bare.graph.add_output("y", bare.add(bare.add(bare.a, bare.b), bare.c));
  EXPECT_EQ(bare.fuse(), "sum: no layer norm follows the sum");
  Fixture moments;
  const std::vector<ValueId> norm = moments.norm(moments.add(moments.a, moments.b));
  moments.graph.add_output("y", norm[0]);
  moments.graph.add_output("rstd", norm[2]);
  EXPECT_EQ(moments.fuse(), "norm: mean and deviation are used");
}

TEST(FuseEmbeddings, LeavesOtherSumsAndSelectedHiddenStatesAlone) {
  Fixture test;
  const ValueId hidden = test.graph.node("activate", {test.a}, {{"kind", "gelu"}});
  test.graph.add_output("other sum", test.norm(test.add(hidden, test.b))[0]);
  const ValueId selected = test.graph.node("gather_rows", {hidden, test.indices("first", {0})});
  test.graph.add_output("selected", test.norm(selected)[0]);
  test.graph.add_output("two sums", test.norm(test.add(test.add(test.rows("d", {0, 1, 2}), test.rows("e", {0, 1, 2})),
                                                       test.add(test.rows("f", {0, 1, 2}), test.c)))[0]);
  EXPECT_EQ(test.fuse(), "");
}

}  // namespace
}  // namespace fettle
