// What passes share: who uses a value, and the node that computes it.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace fettle {

// Each returns the number of rewrites; one file each.
int64_t remove_dropout(Graph& graph);
int64_t fuse_linear_activation(Graph& graph);
int64_t fuse_add_layer_norm(Graph& graph);
int64_t fuse_qkv(Graph& graph);
int64_t sum_squares_of_outputs(Graph& graph);

// Number of uses of each value by nodes and outputs.
std::vector<int64_t> count_uses(const Graph& graph);
// The position of the node that computes `value` when its op has that name, else -1.
NodeId producer_of(const Graph& graph, ValueId value, std::string_view op);
// Nodes without those marked.
std::vector<Node> without(const std::vector<Node>& nodes, const std::vector<bool>& dropped);

}  // namespace fettle
