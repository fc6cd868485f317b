#include "graph/recompute.h"

#include <set>

#include "graph/ops/gradient_check.h"

namespace fettle {
namespace {

// Three segments of a product, an activation and dropout each.
struct Chain {
  explicit Chain(bool recompute) {
    Graph& graph = test.graph;
    ValueId x = test.random("x", {4, 6});
    std::vector<int64_t> ends;
    for (int i = 0; i < 3; ++i) {
      const std::string name = "segment " + std::to_string(i);
      weights.push_back(test.weight(name, {6, 6}));
      const ValueId y = graph.node("matmul", {x, weights.back()}, {}, name);
      const ValueId z = graph.node("activate", {y}, {{"kind", "gelu"}}, name);
      x = graph.node("dropout", {z}, {{"p", 0.3}, {"stream", int64_t{i}}}, name);
      ends.push_back(static_cast<int64_t>(graph.nodes().size()));
    }
    const ValueId loss = test.loss_of(x);
    const auto n_forward = static_cast<int64_t>(graph.nodes().size());
    const std::vector<ValueId> gradients = differentiate(graph, loss, weights);
    graph.add_output("loss", loss);
    for (size_t i = 0; i < gradients.size(); ++i) graph.add_output("gradient " + std::to_string(i), gradients[i]);
    ends.pop_back();
    if (recompute) n_copied = recompute_segments(graph, n_forward, ends);
    verify(graph);
  }

  TestGraph test;
  std::vector<ValueId> weights;
  int64_t n_copied = 0;
};

TEST(Recompute, GivesTheSameLossAndGradients) {
  const Chain plain(false);
  const Chain again(true);
  const auto expected = evaluate_reference(plain.test.graph, plain.test.tensors, plain.test.tensors, 3);
  const auto actual = evaluate_reference(again.test.graph, again.test.tensors, again.test.tensors, 3);
  ASSERT_EQ(expected.size(), 4u);
  for (const auto& [name, tensor] : expected) EXPECT_EQ(values_f64(tensor), values_f64(actual.at(name))) << name;
}

// The backward pass reads the product's result for the slope of gelu: that is what is computed again, and only that.
TEST(Recompute, CopiesWhatTheBackwardPassReadsAndNoMore) {
  const Chain chain(true);
  EXPECT_EQ(chain.n_copied, 2);
  std::map<std::string, int> products;
  for (const Node& node : chain.test.graph.nodes()) {
    if (node.op->name() == "matmul") ++products[node.name];
  }
  EXPECT_EQ(products.at("segment 0"), 2);
  EXPECT_EQ(products.at("segment 1"), 2);
  EXPECT_EQ(products.at("segment 2"), 1);
}

// Nothing of the first forward pass is read behind it but the borders, the loss's inputs and the last segment.
TEST(Recompute, NothingElseIsKept) {
  const Chain chain(true);
  const std::vector<Node>& nodes = chain.test.graph.nodes();
  std::map<ValueId, size_t> made;
  std::set<std::string> kept;
  size_t n_forward = 0;
  while (nodes[n_forward].op->name() != "mean_squared_error") ++n_forward;
  for (size_t i = 0; i < n_forward; ++i) made[nodes[i].outputs[0]] = i;
  for (size_t i = n_forward + 1; i < nodes.size(); ++i) {
    for (const ValueId id : nodes[i].inputs) {
      if (made.contains(id)) kept.insert(nodes[made[id]].name + " " + std::string(nodes[made[id]].op->name()));
    }
  }
  EXPECT_EQ(kept,
            (std::set<std::string>{"segment 0 dropout", "segment 1 dropout", "segment 2 dropout", "segment 2 matmul"}));
}

TEST(Recompute, OutputsOfTheGraphAreNotComputedTwice) {
  TestGraph test;
  const ValueId x = test.random("x", {4, 6});
  const ValueId w = test.random("w", {6, 6});
  const ValueId y = test.graph.node("matmul", {x, w});
  const ValueId z = test.graph.node("activate", {y}, {{"kind", "tanh"}});
  const ValueId loss = test.loss_of(z);
  const auto n_forward = static_cast<int64_t>(test.graph.nodes().size());
  const ValueId gradient = differentiate(test.graph, loss, std::vector{w})[0];
  test.graph.add_output("gradient", gradient);
  test.graph.add_output("y", y);
  EXPECT_EQ(recompute_segments(test.graph, n_forward, std::vector<int64_t>{1}), 0);
}

TEST(Recompute, SegmentsInNoOrderAreRefused) {
  TestGraph test;
  test.graph.node("scale", {test.random("x", {2})}, {{"factor", 2.0}});
  expect_error(ErrorCode::kFailed, "not in order", [&] {
    recompute_segments(test.graph, 1, std::vector<int64_t>{1, 0});
  });
  expect_error(ErrorCode::kFailed, "not in order", [&] { recompute_segments(test.graph, 1, std::vector<int64_t>{2}); });
}

}  // namespace
}  // namespace fettle
