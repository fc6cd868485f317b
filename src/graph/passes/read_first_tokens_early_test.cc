// The selection of the rows that a head reads moves up to the last attention's queries, or says why it does not.
#include <algorithm>

#include "graph/passes/rewrite.h"
#include "graph/test_encoder.h"

namespace fettle {
namespace {

constexpr int64_t kWidth = 4;

struct Fixture : TestGraph {
  Fixture() = default;

  ValueId linear(ValueId x, const std::string& name) {
    return graph.node("linear", {x, random(name + ".w", {kWidth, kWidth}), random(name + ".b", {kWidth})}, {}, name);
  }
  ValueId norm(ValueId x, ValueId residual) {
    return graph.add_nodes("layer_norm", {x, gamma, gamma, residual}, {{"eps", 1e-6}}, "norm")[0];
  }
  // Attention on packed projections of x.
  ValueId attention() {
    const Attributes attributes{{"n_heads", int64_t{2}}, {"head_dim", int64_t{2}}, {"scale", 0.5}};
    const ValueId y =
        graph.node("attention", {linear(x, "q"), linear(x, "k"), linear(x, "v"), offsets}, attributes, "self");
    graph.add_output("attended", y);
    fuse_qkv(graph);
    graph.remove_dead();
    return y;
  }
  // Runs the pass, which must keep the outputs; returns what it said of the only selection.
  std::string push() {
    const auto before = evaluate_reference(graph, tensors, {});
    FusionReports reports;
    n_rewrites = read_first_tokens_early(graph, &reports);
    verify(graph);
    graph.remove_dead();
    verify(graph);
    const auto after = evaluate_reference(graph, tensors, {});
    for (const auto& [name, value] : before) EXPECT_EQ(values_f64(after.at(name)), values_f64(value)) << name;
    if (reports.size() != 1) return std::to_string(reports.size()) + " reports";
    EXPECT_EQ(reports[0].used, n_rewrites > 0);
    return reports[0].reason;
  }
  std::string ops() const {
    std::string names;
    for (const Node& node : graph.nodes()) names += (names.empty() ? "" : " ") + std::string(node.op->name());
    return names;
  }

  ValueId x = random("x", {6, kWidth});
  ValueId gamma = random("gamma", {kWidth});
  ValueId offsets = indices("offsets", {0, 2, 6});
  ValueId first = indices("first", {0, 2});
  int64_t n_rewrites = 0;
};

// The last layer without the attention's output: attention, residual norm, feed-forward, residual norm, selection.
struct Layer : Fixture {
  explicit Layer(bool packed = true) {
    const Attributes attributes{{"n_heads", int64_t{2}}, {"head_dim", int64_t{2}}, {"scale", 0.5}};
    const ValueId h = graph.node("activate", {x}, {{"kind", "gelu"}}, "before");
    attended = graph.node("attention", {linear(h, "q"), linear(h, "k"), linear(h, "v"), offsets}, attributes, "self");
    normed = norm(linear(attended, "out"), h);
    const ValueId inner = graph.node("activate", {linear(normed, "in")}, {{"kind", "relu"}});
    hidden = norm(linear(inner, "ff"), normed);
    logits = linear(graph.node("gather_rows", {hidden, first}, {}, "selection"), "head");
    graph.add_output("logits", logits);
    if (!packed) return;
    fuse_linear_activation(graph);
    fuse_qkv(graph);
    graph.remove_dead();
  }
  ValueId attended, normed, hidden, logits;
};

TEST(ReadFirstTokensEarly, TheLastLayerComputesTheRowsThatAreRead) {
  Layer test;
  EXPECT_EQ(test.push(), "down to the queries of an attention");
  EXPECT_EQ(test.n_rewrites, 6);
  EXPECT_EQ(test.ops(),
            "activate gather_rows linear linear_qkv attention_rows linear layer_norm linear linear layer_norm linear");
  const Graph& graph = test.graph;
  for (const Node& node : graph.nodes()) {
    const bool of_all_tokens = node.op->name() == "activate" || node.op->name() == "linear_qkv";
    EXPECT_EQ(graph.type(node.outputs[0]).shape[0].value, of_all_tokens ? 6 : 2) << node.name;
  }
  EXPECT_EQ(graph.nodes()[3].inputs.size(), 5u);
  EXPECT_EQ(test.push(), "other nodes or outputs read all rows");
}

TEST(ReadFirstTokensEarly, InAnyOrderOfRowsAndWithSequencesWithoutTokens) {
  Layer test;
  test.tensors["first"] = Tensor::from_i32({5, 1}, {2});
  test.push();
  Layer empty;
  empty.tensors["offsets"] = Tensor::from_i32({0, 0, 6}, {3});
  empty.tensors["first"] = Tensor::from_i32({0, 0}, {2});
  empty.push();
}

TEST(ReadFirstTokensEarly, StopsAtAnAttentionThatIsNotPacked) {
  Layer test(false);
  EXPECT_EQ(test.push(), "the attention is not packed");
  EXPECT_EQ(test.n_rewrites, 6);
  EXPECT_EQ(test.ops(),
            "activate linear linear linear attention gather_rows linear gather_rows layer_norm linear activate linear "
            "layer_norm linear");
}

TEST(ReadFirstTokensEarly, StopsWhereAllTokensAreRead) {
  Layer all;
  all.graph.add_output("hidden", all.hidden);
  EXPECT_EQ(all.push(), "other nodes or outputs read all rows");
  EXPECT_EQ(all.n_rewrites, 0);
  Layer part;
  part.graph.add_output("normed", part.normed);
  EXPECT_EQ(part.push(), "other nodes or outputs read all rows");
  EXPECT_EQ(part.n_rewrites, 3);
  Layer attended;
  attended.graph.add_output("attended", attended.attended);
  EXPECT_EQ(attended.push(), "other nodes or outputs read all rows");
  EXPECT_EQ(attended.n_rewrites, 5);
}

TEST(ReadFirstTokensEarly, TwoHeadsThatReadTheSameRows) {
  Layer test;
  const ValueId again = test.graph.node("gather_rows", {test.hidden, test.first}, {}, "again");
  test.graph.add_output("second", test.linear(again, "second"));
  FusionReports reports;
  const auto before = evaluate_reference(test.graph, test.tensors, {});
  EXPECT_EQ(read_first_tokens_early(test.graph, &reports), 6);
  EXPECT_EQ(reports.size(), 2u);
  const auto after = evaluate_reference(test.graph, test.tensors, {});
  for (const auto& [name, value] : before) EXPECT_EQ(values_f64(after.at(name)), values_f64(value)) << name;
}

TEST(ReadFirstTokensEarly, NotWhenTheHeadReadsOtherRowsOrAll) {
  Fixture masked;
  const ValueId y = masked.attention();
  const ValueId positions = masked.indices("masked", {1, 3, 4});
  masked.graph.add_output("logits", masked.graph.node("gather_rows", {y, positions}));
  EXPECT_EQ(masked.push(), "the head reads other rows than one of each sequence");
  Fixture hidden;
  hidden.attention();
  EXPECT_EQ(hidden.push(), "the head reads every token");
  EXPECT_EQ(hidden.n_rewrites, 0);
}

TEST(ReadFirstTokensEarly, NotThroughOpsThatMixRows) {
  Fixture test;
  const ValueId mixed = test.graph.node("matmul", {test.random("mix", {6, 6}), test.attention()}, {}, "mix");
  test.graph.add_output("logits", test.graph.node("gather_rows", {mixed, test.first}));
  EXPECT_EQ(test.push(), "matmul does not work row by row");
  EXPECT_EQ(test.n_rewrites, 0);
}

}  // namespace
}  // namespace fettle
