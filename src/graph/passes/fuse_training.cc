// What training does with products besides: all of it on the way out of the product, while the values are at hand.
#include "graph/op.h"
#include "graph/passes/rewrite.h"

namespace fettle {

// activate(linear(x)) → linear{activation, keep_argument} where the backward pass uses the linear's result, too.
int64_t keep_activation_argument(Graph& graph) {
  std::vector<Node> nodes = graph.nodes();
  std::vector<bool> dropped(nodes.size(), false);
  int64_t n_rewrites = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].op->name() != "activate") continue;
    const NodeId producer = producer_of(graph, nodes[i].inputs[0], "linear");
    if (producer < 0) continue;
    Node& linear = nodes[static_cast<size_t>(producer)];
    if (linear.attributes.get_string("activation", "none") != "none") continue;
    linear.attributes.set("activation", nodes[i].attributes.get_string("kind", ""));
    linear.attributes.set("keep_argument", true);
    linear.outputs = {nodes[i].outputs[0], linear.outputs[0]};
    dropped[i] = true;
    ++n_rewrites;
  }
  if (n_rewrites > 0) graph.set_nodes(without(nodes, dropped));
  return n_rewrites;
}

// activate_grad(z, matmul(a, b)) → matmul(a, b, z){activation_grad} where nothing else uses the product.
int64_t fuse_activation_grad(Graph& graph) {
  const std::vector<int64_t> uses = count_uses(graph);
  std::vector<Node> nodes = graph.nodes();
  std::vector<bool> dropped(nodes.size(), false);
  int64_t n_rewrites = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].op->name() != "activate_grad") continue;
    const ValueId d_y = nodes[i].inputs[1];
    const NodeId producer = producer_of(graph, d_y, "matmul");
    if (producer < 0 || uses[static_cast<size_t>(d_y)] != 1) continue;
    Node& product = nodes[static_cast<size_t>(producer)];
    if (product.inputs.size() > 2 || product.outputs.size() > 1) continue;
    // z must be there when the product is computed.
    const NodeId z_producer = graph.value(nodes[i].inputs[0]).producer;
    if (z_producer >= producer) continue;
    product.inputs.push_back(nodes[i].inputs[0]);
    product.attributes.set("activation_grad", nodes[i].attributes.get_string("kind", ""));
    product.outputs = nodes[i].outputs;
    dropped[i] = true;
    ++n_rewrites;
  }
  if (n_rewrites > 0) graph.set_nodes(without(nodes, dropped));
  return n_rewrites;
}

int64_t sum_squares_of_outputs(Graph& graph) {
  int64_t n_rewrites = 0;
  const std::vector<std::pair<std::string, ValueId>> outputs = graph.outputs();
  for (const auto& [name, value] : outputs) {
    const NodeId producer = producer_of(graph, value, "matmul");
    if (producer < 0) continue;
    const Node old = graph.nodes()[static_cast<size_t>(producer)];
    if (old.outputs.size() > 1) continue;
    Attributes attributes = old.attributes;
    attributes.set("squares", true);
    // The new node takes the old one's place; the new value of the product itself is not needed.
    const std::vector<ValueId> made = graph.add_nodes("matmul", old.inputs, attributes, old.name);
    std::vector<Node> nodes = graph.nodes();
    nodes[static_cast<size_t>(producer)] = nodes.back();
    nodes[static_cast<size_t>(producer)].outputs = {value, made[1]};
    nodes.pop_back();
    graph.set_nodes(std::move(nodes));
    graph.add_output("squares of " + name, made[1]);
    ++n_rewrites;
  }
  return n_rewrites;
}

}  // namespace fettle
