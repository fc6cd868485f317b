// Gates in the graph of an encoder: each part's output is multiplied by a number of its own, 1 unless it is masked.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "model/config.h"

namespace fettle {

enum class PartKind : uint8_t {
  kHeads,    // of a layer's attention: what each adds to the output
  kNeurons,  // of a layer's feed-forward part, behind the activation
  kLayers,   // whole layers: out = in + gate · (layer(in) - in)
  kHidden,   // dimensions of the hidden states, wherever they appear
  kPooled    // outputs of the dense layer before the labels
};
std::string_view part_name(PartKind kind);  // "heads", "neurons", "layers", "hidden", "pooled"

// Layers that compute with the same parameters are one unit (ALBERT's groups): the lowest of them. Its heads and
// neurons have one gate each for all its layers.
int64_t unit_of_layer(const ModelConfig& config, int64_t layer);

// A graph input [batch, n]: one number for each sequence and part.
struct GateInput {
  PartKind kind = PartKind::kHeads;
  int64_t layer = 0;  // the unit of heads and neurons, the layer of kLayers, 0 else
  int64_t n = 0;
  std::string name;
};

// Adds the gates of one kind to a graph that build_graph made of `config`, and the inputs that set them.
std::vector<GateInput> add_gates(Graph& graph, const ModelConfig& config, PartKind kind);

// What enters a layer, in a graph that build_graph made of `config`, before passes. Error kFailed where it has none.
ValueId find_layer_input(const Graph& graph, const ModelConfig& config, int64_t layer);
}  // namespace fettle
