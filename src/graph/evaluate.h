// Evaluates a graph by the reference of every op: the oracle for executors, passes and gradients.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "graph/graph.h"

namespace fettle {

// Matches the shape of a graph input against its type and binds the symbols in it. Error kFailed naming the input when
// the rank or a dimension does not fit, or when a symbol already has another value. `bindings` has one entry for each
// symbol.
void bind_input(const Graph& graph, ValueId input, const Shape& shape, SymbolBindings& bindings);

// Σ length² over the sequences that offsets [batch + 1] delimit: the value of the symbol `pairs`. Error kBadInput when
// they fall.
int64_t count_pairs(std::span<const int32_t> offsets);

// The outputs by name. Inputs and parameters are tensors of the types that the graph says; names that it does not have
// are ignored. Errors: kFailed for a missing or misshapen one, kBadInput for ids, labels and offsets out of range.
std::map<std::string, Tensor> evaluate_reference(const Graph& graph, const std::map<std::string, Tensor>& inputs,
                                                 const std::map<std::string, Tensor>& parameters, uint64_t seed = 0);

}  // namespace fettle
