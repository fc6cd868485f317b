// The nodes that quantization-aware training puts into a loss graph.
#pragma once

#include <string>
#include <vector>

#include "graph/graph.h"

namespace fettle {

// A parameter that counts as rounded.
struct FakeQuantizeSite {
  std::string weight;
  std::string steps;  // the name of a parameter to add, f32 of `step_shape`
  std::string zeros;  // the name of an input to add, of the same shape; "": there are none
  Shape step_shape;
  Attributes attributes;       // of fake_quantize
  bool rounds_inputs = false;  // the linears of this weight see inputs of 8 bits, rounded row by row
};

// Whoever read a site's weight reads what fake_quantize makes of it; a value that several linears read is rounded once.
// Error kFailed naming the weight that the graph does not have.
void insert_fake_quantize(Graph& graph, const std::vector<FakeQuantizeSite>& sites);

}  // namespace fettle
