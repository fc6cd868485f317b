#include "graph/passes.h"

#include <algorithm>

#include "graph/passes/rewrite.h"
#include "graph/test_encoder.h"

namespace fettle {
namespace {

int64_t count(const Graph& graph, std::string_view op) {
  return std::count_if(graph.nodes().begin(), graph.nodes().end(),
                       [&](const Node& node) { return node.op->name() == op; });
}

std::vector<double> logits_of(const TestGraph& test, const Graph& graph) {
  return values_f64(evaluate_reference(graph, test.tensors, {}).at("logits"));
}

TEST(InferencePasses, EachKeepsTheResult) {
  TestEncoder test({});
  test.graph.add_output("logits", test.logits);
  const std::vector<double> before = logits_of(test, test.graph);
  const std::map<std::string_view, int64_t> expected{
      {"remove_dropout", 0}, {"fuse_linear_activation", 3},  {"fuse_embeddings", 1}, {"fuse_add_layer_norm", 4},
      {"fuse_qkv", 2},       {"read_first_tokens_early", 6}, {"remove_dead", 8}};
  Graph all = test.graph;
  for (const Pass& pass : inference_passes()) {
    Graph alone = test.graph;
    pass.run(alone);
    verify(alone);
    expect_values(logits_of(test, alone), before);
    EXPECT_EQ(pass.run(all), expected.at(pass.name)) << pass.name;
    verify(all);
    expect_values(logits_of(test, all), before);
  }
  // Two outputs and one intermediate a layer, the queries of the last, pooler and classifier.
  EXPECT_EQ(count(all, "linear"), 9);
  EXPECT_EQ(count(all, "linear_qkv"), 2);
  EXPECT_EQ(count(all, "attention_packed"), 1);
  EXPECT_EQ(count(all, "attention_rows"), 1);
  EXPECT_EQ(count(all, "gather_rows"), 1);
  EXPECT_EQ(count(all, "add") + count(all, "activate") + count(all, "attention"), 0);
  for (const Pass& pass : inference_passes()) EXPECT_EQ(pass.run(all), 0) << pass.name;
}

TEST(InferencePasses, ATrainingGraphBecomesTheInferenceGraph) {
  TestEncoder plain({});
  plain.graph.add_output("logits", plain.logits);
  TestEncoder training({.dropout = 0.3, .keep_probabilities = true});
  training.graph.add_output("logits", training.logits);
  EXPECT_NE(logits_of(training, training.graph), logits_of(plain, plain.graph));
  for (const Pass& pass : inference_passes()) pass.run(training.graph);
  verify(training.graph);
  expect_values(logits_of(training, training.graph), logits_of(plain, plain.graph));
  EXPECT_EQ(count(training.graph, "attention_packed"), 1);
  EXPECT_EQ(count(training.graph, "attention_rows"), 1);
}

// What was said of each place, as "node: used" or "node: why not".
std::vector<std::string> said(const FusionReports& reports) {
  std::vector<std::string> lines;
  for (const FusionReport& report : reports) {
    lines.push_back(report.node + ": " + (report.used ? "used" : report.reason));
  }
  return lines;
}

using Lines = std::vector<std::string>;

TEST(InferencePasses, SayWhatTheyDid) {
  TestEncoder test({});
  test.graph.add_output("logits", test.logits);
  FusionReports reports;
  for (const Pass& pass : inference_passes()) pass.run(test.graph, &reports);
  std::map<std::string, int64_t> used;
  for (const FusionReport& report : reports) {
    EXPECT_TRUE(report.used) << report.fusion << " at " << report.node << ": " << report.reason;
    ++used[report.fusion];
  }
  const std::map<std::string, int64_t> expected{{"fuse_linear_activation", 3},
                                                {"fuse_embeddings", 1},
                                                {"fuse_add_layer_norm", 4},
                                                {"fuse_qkv", 2},
                                                {"read_first_tokens_early", 1}};
  EXPECT_EQ(used, expected);
}

TEST(RemoveDropout, ChainsAndOutputs) {
  TestGraph test;
  const ValueId x = test.random("x", {3, 2});
  const Attributes attributes{{"p", 0.5}, {"stream", int64_t{0}}};
  const ValueId y = test.graph.node("dropout", {test.graph.node("dropout", {x}, attributes)}, attributes);
  const ValueId z = test.graph.node("scale", {y}, {{"factor", 2.0}});
  test.graph.add_output("y", y);
  test.graph.add_output("z", z);
  EXPECT_EQ(remove_dropout(test.graph), 2);
  verify(test.graph);
  EXPECT_EQ(test.graph.outputs()[0].second, x);
  EXPECT_EQ(count(test.graph, "dropout"), 0);
  EXPECT_EQ(test.graph.nodes()[0].inputs[0], x);
}

struct Fixture : TestGraph {
  ValueId x = random("x", {3, 4});
  ValueId w = random("w", {4, 4});
  ValueId b = random("b", {4});
  Attributes relu{{"kind", "relu"}};
  Attributes eps{{"eps", 1e-6}};
  FusionReports reports;
};

TEST(FuseLinearActivation, NotWhenTheLinearHasOtherUsers) {
  Fixture test;
  const ValueId hidden = test.graph.node("linear", {test.x, test.w, test.b});
  test.graph.add_output("y", test.graph.node("activate", {hidden}, test.relu, "act"));
  test.graph.add_output("hidden", hidden);
  EXPECT_EQ(fuse_linear_activation(test.graph, &test.reports), 0);
  EXPECT_EQ(said(test.reports), Lines{"act: the linear's result has other users"});
}

TEST(FuseLinearActivation, OnceOnly) {
  Fixture test;
  const ValueId hidden = test.graph.node("linear", {test.x, test.w, test.b});
  const ValueId y = test.graph.node("activate", {hidden}, test.relu, "first");
  test.graph.add_output("y", test.graph.node("activate", {y}, {{"kind", "tanh"}}, "second"));
  EXPECT_EQ(fuse_linear_activation(test.graph, &test.reports), 1);
  EXPECT_EQ(said(test.reports), (Lines{"first: used", "second: what it activates is not a linear's result"}));
  test.reports.clear();
  EXPECT_EQ(fuse_linear_activation(test.graph, &test.reports), 0);
  EXPECT_EQ(said(test.reports), Lines{"second: the linear has an activation already"});
  verify(test.graph);
}

TEST(FuseAddLayerNorm, NotWhenTheSumOrTheMomentsAreUsed) {
  for (const int reason : {0, 1, 2}) {
    Fixture test;
    const ValueId sum = test.graph.node("add", {test.x, test.x});
    const auto norm = test.graph.add_nodes("layer_norm", {sum, test.b, test.b}, test.eps, "norm");
    test.graph.add_output("y", norm[0]);
    const ValueId others[] = {sum, norm[1], norm[2]};
    test.graph.add_output("other", others[reason]);
    EXPECT_EQ(fuse_add_layer_norm(test.graph, &test.reports), 0) << reason;
    EXPECT_EQ(said(test.reports),
              Lines{reason == 0 ? "norm: the sum has other users" : "norm: mean and deviation are used"});
  }
}

TEST(FuseAddLayerNorm, NotOnTopOfAResidual) {
  Fixture test;
  const ValueId sum = test.graph.node("add", {test.x, test.x});
  test.graph.add_output("y", test.graph.node("layer_norm", {sum, test.b, test.b, test.x}, test.eps, "norm"));
  EXPECT_EQ(fuse_add_layer_norm(test.graph, &test.reports), 0);
  EXPECT_EQ(said(test.reports), Lines{"norm: the norm adds something already"});
}

TEST(FuseQkv, OnlyWhereTheLinearsFit) {
  enum Reason { kNone, kOtherInput, kNoBias, kActivation, kShared, kOutput, kProbabilities, kDropout, kNoLinear };
  const std::map<Reason, std::string> phrases{{kNone, "used"},
                                              {kOtherInput, "queries, keys or values have other users"},
                                              {kNoBias, "a linear has no bias"},
                                              {kActivation, "a linear has an activation"},
                                              {kShared, "queries, keys or values have other users"},
                                              {kOutput, "queries, keys or values have other users"},
                                              {kProbabilities, "the probabilities are used"},
                                              {kDropout, "dropout is on"},
                                              {kNoLinear, "queries, keys and values are not all linears"}};
  for (const auto& [reason, phrase] : phrases) {
    Fixture test;
    Graph& graph = test.graph;
    const ValueId q = graph.node("linear", {test.x, test.w, test.b});
    const ValueId k = graph.node("linear", {reason == kOtherInput ? q : test.x, test.w, test.b},
                                 {{"activation", reason == kActivation ? "relu" : "none"}});
    ValueId v = graph.node("linear", {test.x, test.w, reason == kNoBias ? kNoValue : test.b});
    if (reason == kShared) v = k;
    if (reason == kNoLinear) v = test.x;
    const Attributes attributes{{"n_heads", int64_t{2}},
                                {"head_dim", int64_t{2}},
                                {"scale", 1.0},
                                {"dropout", reason == kDropout ? 0.1 : 0.0},
                                {"keep_probabilities", true}};
    const auto outputs = graph.add_nodes("attention", {q, k, v, test.indices("offsets", {0, 3})}, attributes, "self");
    graph.add_output("logits", outputs[0]);
    if (reason == kOutput) graph.add_output("k", k);
    if (reason == kProbabilities) graph.add_output("probabilities", outputs[1]);
    const std::vector<double> before = logits_of(test, graph);
    EXPECT_EQ(fuse_qkv(graph, &test.reports), reason == kNone ? 1 : 0) << reason;
    EXPECT_EQ(said(test.reports), Lines{"self: " + phrase});
    verify(graph);
    expect_values(logits_of(test, graph), before);
  }
}

}  // namespace
}  // namespace fettle
