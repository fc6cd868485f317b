// Inference has no dropout: its nodes go, and that of attention is set to 0, which counts as a rewrite too.
#include "graph/op.h"
#include "graph/passes/rewrite.h"

namespace fettle {

int64_t remove_dropout(Graph& graph, FusionReports* reports) {
  FusionLog log("remove_dropout", reports);
  int64_t n_rewrites = 0;
  std::vector<Node> nodes = graph.nodes();
  std::vector<bool> dropped(nodes.size(), false);
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].op->name() == "dropout") {
      dropped[i] = true;
    } else if (nodes[i].op->name() == "attention" && nodes[i].attributes.get_double("dropout", 0) > 0) {
      nodes[i].attributes.set("dropout", 0.0);
    } else {
      continue;
    }
    log.used(nodes[i]);
    ++n_rewrites;
  }
  if (n_rewrites == 0) return 0;
  graph.set_nodes(nodes);
  for (size_t i = 0; i < nodes.size(); ++i) {
    // Read from the graph: an earlier replacement may have changed the input of this dropout.
    if (dropped[i]) graph.replace_uses(nodes[i].outputs[0], graph.nodes()[i].inputs[0]);
  }
  graph.set_nodes(without(graph.nodes(), dropped));
  return n_rewrites;
}

}  // namespace fettle
