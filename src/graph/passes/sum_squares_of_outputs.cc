// The squares of a gradient are summed on its way out of the product, while the values are at hand: its norm then needs
// no pass over it. (Activations and their slopes were tried in the same place; they hold up the tiles for longer than
// passes of their own take.)
#include "graph/op.h"
#include "graph/passes/rewrite.h"

namespace fettle {

int64_t sum_squares_of_outputs(Graph& graph, FusionReports* reports) {
  FusionLog log("sum_squares_of_outputs", reports);
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
    log.used(old);
    ++n_rewrites;
  }
  return n_rewrites;
}

}  // namespace fettle
