#include <functional>

#include "graph/ops/gradient_check.h"
#include "graph/test_encoder.h"

namespace fettle {
namespace {

Graph encoder() {
  TestEncoder test({.dropout = 0.1, .keep_probabilities = true});
  test.graph.add_output("logits", test.logits);
  return test.graph;
}

// Changes the nodes of a sound graph; verify must say what is wrong.
void expect_refused(const std::string& text, const std::function<void(std::vector<Node>&)>& corrupt) {
  Graph graph = encoder();
  std::vector<Node> nodes = graph.nodes();
  corrupt(nodes);
  graph.set_nodes(std::move(nodes));
  expect_error(ErrorCode::kFailed, text, [&] { verify(graph); });
}

TEST(Verify, AcceptsASoundGraph) {
  verify(encoder());
}

TEST(Verify, RefusesCorruptedNodes) {
  expect_refused("before it is computed", [](auto& nodes) { std::swap(nodes[0], nodes[1]); });
  expect_refused("before it is computed", [](auto& nodes) { nodes.erase(nodes.begin()); });
  expect_refused("before it is computed", [](auto& nodes) { nodes[2].inputs[0] = 100000; });
  expect_refused("before it is computed", [](auto& nodes) { nodes[2].inputs[0] = -7; });
  expect_refused("before it is computed", [](auto& nodes) { nodes[2].inputs[0] = nodes[2].outputs[0]; });
  expect_refused("input 0 is missing", [](auto& nodes) { nodes[2].inputs[0] = kNoValue; });
  expect_refused("already there", [](auto& nodes) { nodes.push_back(nodes.back()); });
  expect_refused("already there", [](auto& nodes) { nodes[0].outputs[0] = nodes[0].inputs[0]; });
  expect_refused("not a value", [](auto& nodes) { nodes.back().outputs[0] = 100000; });
  expect_refused("not a value", [](auto& nodes) { nodes.back().outputs[0] = -1; });
  expect_refused("has no op", [](auto& nodes) { nodes[3].op = nullptr; });
  expect_refused("takes 2 inputs", [](auto& nodes) { nodes[0].inputs.clear(); });
  expect_refused("has 0 outputs, not 1", [](auto& nodes) { nodes.back().outputs.clear(); });
  expect_refused("'eps' is missing", [](auto& nodes) { nodes[1].attributes = {}; });
  expect_refused("'eps' is not a number", [](auto& nodes) { nodes[1].attributes.set("eps", "small"); });
  expect_refused("node 1 (layer_norm 'embeddings.norm')", [](auto& nodes) { nodes[1].outputs.pop_back(); });
}

TEST(Verify, RefusesATypeThatDoesNotFollow) {
  Graph graph = encoder();
  std::vector<Node> nodes = graph.nodes();
  // The classifier's weight [3, 4] in place of the pooler's [4, 4].
  Node& pooler = nodes[nodes.size() - 4];
  ASSERT_EQ(pooler.name, "pooler");
  pooler.inputs = {pooler.inputs[0], nodes.back().inputs[1], nodes.back().inputs[2]};
  graph.set_nodes(nodes);
  expect_error(ErrorCode::kFailed, "computes f64[2, 3], not f64[2, 4]", [&] { verify(graph); });
}

TEST(Verify, RefusesAnOutputThatIsNotComputed) {
  Graph graph = encoder();
  std::vector<Node> nodes = graph.nodes();
  nodes.pop_back();
  graph.set_nodes(nodes);
  expect_error(ErrorCode::kFailed, "output 'logits'", [&] { verify(graph); });
}

}  // namespace
}  // namespace fettle
