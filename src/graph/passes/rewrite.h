// What passes share: who uses a value, the node that computes it, and the log of what was fused.
#pragma once

#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "graph/passes.h"

namespace fettle {

using FusionReports = std::vector<FusionReport>;

// Each returns the number of rewrites; one file each.
int64_t remove_dropout(Graph& graph, FusionReports* reports = nullptr);
int64_t fuse_linear_activation(Graph& graph, FusionReports* reports = nullptr);
int64_t fuse_embeddings(Graph& graph, FusionReports* reports = nullptr);
int64_t fuse_add_layer_norm(Graph& graph, FusionReports* reports = nullptr);
int64_t fuse_qkv(Graph& graph, FusionReports* reports = nullptr);
int64_t read_first_tokens_early(Graph& graph, FusionReports* reports = nullptr);
int64_t sum_squares_of_outputs(Graph& graph, FusionReports* reports = nullptr);

// Number of uses of each value by nodes and outputs.
std::vector<int64_t> count_uses(const Graph& graph);
// The position of the node that computes `value` when its op has that name, else -1.
NodeId producer_of(const Graph& graph, ValueId value, std::string_view op);
// Nodes without those marked.
std::vector<Node> without(const std::vector<Node>& nodes, const std::vector<bool>& dropped);

// Writes one pass's reports, or nothing when there is nowhere to write to.
class FusionLog {
 public:
  FusionLog(std::string_view fusion, FusionReports* reports) : fusion_(fusion), reports_(reports) {}

  void used(const Node& node, std::string_view how = "") { add(node, true, how); }
  void refused(const Node& node, std::string_view reason) { add(node, false, reason); }

 private:
  void add(const Node& node, bool used, std::string_view reason);

  std::string_view fusion_;
  FusionReports* reports_;
};

}  // namespace fettle
