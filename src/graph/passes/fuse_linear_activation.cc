// activate(linear(x)) → linear{activation} where nothing else uses the linear's result.
#include "graph/op.h"
#include "graph/passes/rewrite.h"

namespace fettle {

int64_t fuse_linear_activation(Graph& graph, FusionReports* reports) {
  FusionLog log("fuse_linear_activation", reports);
  const std::vector<int64_t> uses = count_uses(graph);
  std::vector<Node> nodes = graph.nodes();
  std::vector<bool> dropped(nodes.size(), false);
  int64_t n_rewrites = 0;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].op->name() != "activate") continue;
    const ValueId hidden = nodes[i].inputs[0];
    const NodeId producer = producer_of(graph, hidden, "linear");
    if (producer < 0) {
      log.refused(nodes[i], "what it activates is not a linear's result");
      continue;
    }
    Node& linear = nodes[static_cast<size_t>(producer)];
    if (uses[static_cast<size_t>(hidden)] != 1) {
      log.refused(nodes[i], "the linear's result has other users");
    } else if (linear.attributes.get_string("activation", "none") != "none") {
      log.refused(nodes[i], "the linear has an activation already");
    } else {
      log.used(nodes[i]);
      linear.attributes.set("activation", nodes[i].attributes.get_string("kind", ""));
      linear.outputs = nodes[i].outputs;
      dropped[i] = true;
      ++n_rewrites;
    }
  }
  if (n_rewrites > 0) graph.set_nodes(without(nodes, dropped));
  return n_rewrites;
}

}  // namespace fettle
