// Graph passes: each rewrites the graph in place, returns how many rewrites it made, and can say of every place where
// its pattern was found what became of it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace fettle {

// One place of the graph where a pass found its pattern.
struct FusionReport {
  std::string fusion;  // the pass
  std::string node;    // where it stands in the model; the op's name where it has none
  bool used = false;
  std::string reason;  // why it was refused, in a short phrase; of some fusions that were made, how far they reach
};

struct Pass {
  std::string_view name;
  // `reports` may be null.
  int64_t (*rewrite)(Graph&, std::vector<FusionReport>* reports);

  int64_t run(Graph& graph, std::vector<FusionReport>* reports = nullptr) const { return rewrite(graph, reports); }
};

// In the order in which they run: remove_dropout, fuse_linear_activation, fuse_embeddings, fuse_add_layer_norm,
// fuse_qkv, read_first_tokens_early, remove_dead.
std::span<const Pass> inference_passes();
// For a graph with gradients among its outputs: sum_squares_of_outputs (each output "x" that is a product of two
// matrices gets a companion "squares of x").
std::span<const Pass> training_passes();

}  // namespace fettle
