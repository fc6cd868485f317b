#include "graph/passes/rewrite.h"

#include "graph/op.h"

namespace fettle {

std::vector<int64_t> count_uses(const Graph& graph) {
  std::vector<int64_t> uses(graph.values().size(), 0);
  for (const Node& node : graph.nodes()) {
    for (const ValueId input : node.inputs) {
      if (input != kNoValue) ++uses[static_cast<size_t>(input)];
    }
  }
  for (const auto& [name, id] : graph.outputs()) ++uses[static_cast<size_t>(id)];
  return uses;
}

NodeId producer_of(const Graph& graph, ValueId value, std::string_view op) {
  if (value == kNoValue) return -1;
  const NodeId producer = graph.value(value).producer;
  return producer >= 0 && graph.nodes()[static_cast<size_t>(producer)].op->name() == op ? producer : -1;
}

std::vector<Node> without(const std::vector<Node>& nodes, const std::vector<bool>& dropped) {
  std::vector<Node> kept;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!dropped[i]) kept.push_back(nodes[i]);
  }
  return kept;
}

void FusionLog::add(const Node& node, bool used, std::string_view reason) {
  if (reports_ == nullptr) return;
  reports_->push_back({.fusion = std::string(fusion_),
                       .node = node.name.empty() ? std::string(node.op->name()) : node.name,
                       .used = used,
                       .reason = std::string(reason)});
}

}  // namespace fettle
