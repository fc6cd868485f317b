// attention(linear(x), linear(x), linear(x)) → attention_packed(linear_qkv(x)) where the linears have biases and no
// other users, and the attention neither drops nor hands out its probabilities.
#include "graph/op.h"
#include "graph/passes/rewrite.h"

namespace fettle {
namespace {

// Inputs of linear_qkv, or none when the attention's producers do not fit.
std::vector<ValueId> packed_inputs(const Graph& graph, const Node& attention, const std::vector<int64_t>& uses) {
  const auto used = [&](ValueId id) { return uses[static_cast<size_t>(id)]; };
  if (attention.attributes.get_double("dropout", 0) > 0) return {};
  if (attention.outputs.size() > 1 && used(attention.outputs[1]) > 0) return {};
  std::vector<ValueId> inputs;
  for (size_t i = 0; i < 3; ++i) {
    const ValueId projected = attention.inputs[i];
    const NodeId producer = producer_of(graph, projected, "linear");
    if (producer < 0 || used(projected) != 1) return {};
    const Node& linear = graph.nodes()[static_cast<size_t>(producer)];
    const bool plain = linear.inputs.size() == 3 && linear.inputs[2] != kNoValue &&
                       linear.attributes.get_string("activation", "none") == "none";
    if (!plain || (i > 0 && linear.inputs[0] != inputs[0])) return {};
    if (i == 0) inputs.push_back(linear.inputs[0]);
    inputs.insert(inputs.end(), {linear.inputs[1], linear.inputs[2]});
  }
  return inputs;
}

}  // namespace

int64_t fuse_qkv(Graph& graph) {
  const std::vector<int64_t> uses = count_uses(graph);
  const std::vector<Node> nodes = graph.nodes();
  std::vector<Node> rewritten;
  int64_t n_rewrites = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    std::vector<ValueId> inputs;
    if (nodes[i].op->name() == "attention") inputs = packed_inputs(graph, nodes[i], uses);
    if (inputs.empty()) {
      rewritten.push_back(nodes[i]);
      continue;
    }
    // Appended to the graph for its new value, then put where the attention was.
    const ValueId qkv = graph.node("linear_qkv", inputs, {}, nodes[i].name + ".qkv");
    rewritten.push_back(graph.nodes().back());
    rewritten.push_back({.op = &find_op("attention_packed"),
                         .name = nodes[i].name,
                         .inputs = {qkv, nodes[i].inputs[3]},
                         .outputs = {nodes[i].outputs[0]},
                         .attributes = {{"n_heads", nodes[i].attributes.get_int("n_heads")},
                                        {"head_dim", nodes[i].attributes.get_int("head_dim")},
                                        {"scale", nodes[i].attributes.get_double("scale")}}});
    ++n_rewrites;
  }
  // The linears stay behind unused, for remove_dead.
  if (n_rewrites > 0) graph.set_nodes(std::move(rewritten));
  return n_rewrites;
}

}  // namespace fettle
