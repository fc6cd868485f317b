// Graph passes: each rewrites the graph in place and returns how many rewrites it made.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "graph/graph.h"

namespace fettle {

struct Pass {
  std::string_view name;
  int64_t (*run)(Graph&);
};

// In the order in which they run: remove_dropout, fuse_linear_activation, fuse_add_layer_norm, fuse_qkv, remove_dead.
std::span<const Pass> inference_passes();
// For a graph with gradients among its outputs: sum_squares_of_outputs (each output "x" that is a product of two
// matrices gets a companion "squares of x").
std::span<const Pass> training_passes();

}  // namespace fettle
