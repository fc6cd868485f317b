// layer_norm(gather_rows(t1) + gather_rows(t2) + …) → embed_layer_norm, which sums and normalizes a row while it is at
// hand. The tables are parameters or inputs; nothing else may use a part of the sum.
#include "graph/op.h"
#include "graph/passes/rewrite.h"

namespace fettle {
namespace {

constexpr size_t kMaxTables = 8;

// What is looked up, in the order in which it is summed.
struct Lookups {
  std::vector<ValueId> tables_and_ids;
  std::string_view refusal;
};

class EmbeddingFinder {
 public:
  explicit EmbeddingFinder(const Graph& graph) : graph_(graph), uses_(count_uses(graph)) {}

  int64_t uses(ValueId value) const { return uses_[static_cast<size_t>(value)]; }

  // The look-ups whose sum `value` is: none where it is no such sum.
  Lookups sum_of(ValueId value) const {
    Lookups found;
    if (!append(value, found)) return {};
    if (found.tables_and_ids.size() > 2 * kMaxTables) found.refusal = "more tables than the kernel takes";
    return found;
  }

 private:
  const Node* producer(ValueId value, std::string_view op) const {
    const NodeId id = producer_of(graph_, value, op);
    return id < 0 ? nullptr : &graph_.nodes()[static_cast<size_t>(id)];
  }

  // Of a table, not of hidden states.
  const Node* lookup(ValueId value) const {
    const Node* gather = producer(value, "gather_rows");
    return gather != nullptr && graph_.value(gather->inputs[0]).kind != ValueKind::kComputed ? gather : nullptr;
  }

  // A sum is the same whichever side its look-up stands on, but not in another order.
  bool append(ValueId value, Lookups& found) const {
    if (uses(value) != 1) found.refusal = "a part of the sum has other users";
    if (const Node* gather = lookup(value)) {
      found.tables_and_ids.insert(found.tables_and_ids.end(), {gather->inputs[0], gather->inputs[1]});
      return true;
    }
    const Node* add = producer(value, "add");
    if (add == nullptr) return false;
    if (lookup(add->inputs[1]) != nullptr) return append(add->inputs[0], found) && append(add->inputs[1], found);
    if (lookup(add->inputs[0]) != nullptr) return append(add->inputs[1], found) && append(add->inputs[0], found);
    return false;
  }

  const Graph& graph_;
  std::vector<int64_t> uses_;
};

// Sums of look-ups that no norm follows.
void report_without_norm(const Graph& graph, const EmbeddingFinder& finder, FusionLog& log) {
  std::vector<bool> continued(graph.values().size(), false);
  for (const Node& node : graph.nodes()) {
    if (node.op->name() != "add" && node.op->name() != "layer_norm") continue;
    for (const ValueId input : node.inputs) {
      if (input != kNoValue) continued[static_cast<size_t>(input)] = true;
    }
  }
  for (const Node& node : graph.nodes()) {
    if (node.op->name() != "add" || continued[static_cast<size_t>(node.outputs[0])]) continue;
    if (!finder.sum_of(node.outputs[0]).tables_and_ids.empty()) log.refused(node, "no layer norm follows the sum");
  }
}

}  // namespace

int64_t fuse_embeddings(Graph& graph, FusionReports* reports) {
  FusionLog log("fuse_embeddings", reports);
  const EmbeddingFinder finder(graph);
  report_without_norm(graph, finder, log);
  std::vector<Node> nodes = graph.nodes();
  int64_t n_rewrites = 0;
  for (Node& norm : nodes) {
    if (norm.op->name() != "layer_norm" || (norm.inputs.size() > 3 && norm.inputs[3] != kNoValue)) continue;
    Lookups sum = finder.sum_of(norm.inputs[0]);
    if (sum.tables_and_ids.empty()) continue;
    if (finder.uses(norm.outputs[1]) + finder.uses(norm.outputs[2]) > 0) sum.refusal = "mean and deviation are used";
    if (!sum.refusal.empty()) {
      log.refused(norm, sum.refusal);
      continue;
    }
    log.used(norm, std::to_string(sum.tables_and_ids.size() / 2) + " tables");
    std::vector<ValueId> inputs{norm.inputs[1], norm.inputs[2]};
    inputs.insert(inputs.end(), sum.tables_and_ids.begin(), sum.tables_and_ids.end());
    norm = {.op = &find_op("embed_layer_norm"),
            .name = norm.name,
            .inputs = std::move(inputs),
            .outputs = {norm.outputs[0]},
            .attributes = {{"eps", norm.attributes.get_double("eps")}}};
    ++n_rewrites;
  }
  // Look-ups and sums stay behind unused, for remove_dead.
  if (n_rewrites > 0) graph.set_nodes(std::move(nodes));
  return n_rewrites;
}

}  // namespace fettle
