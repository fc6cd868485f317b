// attention(linear(x), linear(x), linear(x)) → attention_packed(linear_qkv(x)) where the linears have biases and no
// other users, and the attention neither drops nor hands out its probabilities.
#include "graph/op.h"
#include "graph/passes/rewrite.h"

namespace fettle {
namespace {

// Inputs of linear_qkv, or why the attention's producers do not fit.
struct Packing {
  std::vector<ValueId> inputs;
  std::string_view refusal;
};

std::string_view refusal_of(const Graph& graph, const Node& attention, const std::vector<int64_t>& uses) {
  const auto used = [&](ValueId id) { return uses[static_cast<size_t>(id)]; };
  if (attention.attributes.get_double("dropout", 0) > 0) return "dropout is on";
  if (attention.outputs.size() > 1 && used(attention.outputs[1]) > 0) return "the probabilities are used";
  ValueId x = kNoValue;
  for (size_t i = 0; i < 3; ++i) {
    const ValueId projected = attention.inputs[i];
    const NodeId producer = producer_of(graph, projected, "linear");
    if (producer < 0) return "queries, keys and values are not all linears";
    if (used(projected) != 1) return "queries, keys or values have other users";
    const Node& linear = graph.nodes()[static_cast<size_t>(producer)];
    if (linear.inputs.size() < 3 || linear.inputs[2] == kNoValue) return "a linear has no bias";
    if (linear.attributes.get_string("activation", "none") != "none") return "a linear has an activation";
    if (i > 0 && linear.inputs[0] != x) return "the linears have different inputs";
    x = linear.inputs[0];
  }
  return "";
}

Packing packing_of(const Graph& graph, const Node& attention, const std::vector<int64_t>& uses) {
  Packing packing{{}, refusal_of(graph, attention, uses)};
  for (size_t i = 0; packing.refusal.empty() && i < 3; ++i) {
    const NodeId producer = producer_of(graph, attention.inputs[i], "linear");
    const Node& linear = graph.nodes()[static_cast<size_t>(producer)];
    if (i == 0) packing.inputs.push_back(linear.inputs[0]);
    packing.inputs.insert(packing.inputs.end(), {linear.inputs[1], linear.inputs[2]});
  }
  return packing;
}

}  // namespace

int64_t fuse_qkv(Graph& graph, FusionReports* reports) {
  FusionLog log("fuse_qkv", reports);
  const std::vector<int64_t> uses = count_uses(graph);
  const std::vector<Node> nodes = graph.nodes();
  std::vector<Node> rewritten;
  int64_t n_rewrites = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const bool is_attention = nodes[i].op->name() == "attention";
    const Packing packing = is_attention ? packing_of(graph, nodes[i], uses) : Packing{};
    if (is_attention && !packing.refusal.empty()) log.refused(nodes[i], packing.refusal);
    if (packing.inputs.empty()) {
      rewritten.push_back(nodes[i]);
      continue;
    }
    log.used(nodes[i]);
    // Appended to the graph for its new value, then put where the attention was.
    const ValueId qkv = graph.node("linear_qkv", packing.inputs, {}, nodes[i].name + ".qkv");
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
