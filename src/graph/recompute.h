// Less memory for training: values of the forward pass are computed again in the backward pass instead of being kept.
#pragma once

#include <cstdint>
#include <span>

#include "graph/graph.h"

namespace fettle {

// Rewrites a graph to which differentiate() has been applied (Chen et al., "Training Deep Nets with Sublinear Memory
// Cost", 2016). `n_forward` is the number of nodes that it had before; `ends` are rising positions among these, one
// past the last node of each segment (a segment begins where the one before ends, the first at 0; nodes behind the last
// end belong to none). What the backward nodes read of a segment, they read from copies of its nodes that stand just
// before the first of them and start from what is kept: values that later forward nodes read too, graph outputs, and
// vectors, which are small. Copies have the same attributes, dropout streams among them, so every value is the same to
// the bit. Segments whose backward nodes come first gain nothing, so the caller leaves out the last layer. Returns the
// number of nodes copied.
int64_t recompute_segments(Graph& graph, int64_t n_forward, std::span<const int64_t> ends);

}  // namespace fettle
