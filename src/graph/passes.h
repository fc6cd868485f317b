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
// For a graph with gradients among its outputs, in this order: keep_activation_argument, fuse_activation_grad,
// sum_squares_of_outputs (each output that is a product of two matrices, "x", gets a companion "squares of x").
std::span<const Pass> training_passes();

}  // namespace fettle
