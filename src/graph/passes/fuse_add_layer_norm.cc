// layer_norm(add(a, b)) → layer_norm(a, residual = b) where nothing else uses the sum, nor the mean and rstd.
#include "graph/op.h"
#include "graph/passes/rewrite.h"

namespace fettle {

int64_t fuse_add_layer_norm(Graph& graph, FusionReports* reports) {
  FusionLog log("fuse_add_layer_norm", reports);
  const std::vector<int64_t> uses = count_uses(graph);
  std::vector<Node> nodes = graph.nodes();
  std::vector<bool> dropped(nodes.size(), false);
  int64_t n_rewrites = 0;
  const auto used = [&](ValueId id) { return uses[static_cast<size_t>(id)]; };
  for (Node& norm : nodes) {
    if (norm.op->name() != "layer_norm") continue;
    const NodeId producer = producer_of(graph, norm.inputs[0], "add");
    if (producer < 0) continue;
    const Node& sum = nodes[static_cast<size_t>(producer)];
    if (norm.inputs.size() > 3 && norm.inputs[3] != kNoValue) {
      log.refused(norm, "the norm adds something already");
    } else if (used(norm.inputs[0]) != 1) {
      log.refused(norm, "the sum has other users");
    } else if (used(norm.outputs[1]) != 0 || used(norm.outputs[2]) != 0) {
      log.refused(norm, "mean and deviation are used");
    } else {
      log.used(norm);
      norm.inputs = {sum.inputs[0], norm.inputs[1], norm.inputs[2], sum.inputs[1]};
      dropped[static_cast<size_t>(producer)] = true;
      ++n_rewrites;
    }
  }
  if (n_rewrites > 0) graph.set_nodes(without(nodes, dropped));
  return n_rewrites;
}

}  // namespace fettle
