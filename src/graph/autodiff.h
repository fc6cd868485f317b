// Reverse-mode differentiation as a graph transformation.
#pragma once

#include <span>
#include <vector>

#include "graph/graph.h"

namespace fettle {

// Appends nodes that compute d loss / d v for every v in `wrt`; `loss` has one element. Returns their values, kNoValue
// where the loss does not depend on v. Gradients that meet are summed in node order.
std::vector<ValueId> differentiate(Graph& graph, ValueId loss, std::span<const ValueId> wrt);

}  // namespace fettle
