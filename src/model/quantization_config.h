// The "quantization_config" of config.json, in the form of compressed-tensors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/model.h"

namespace fettle {

// How the integers of some modules are encoded, which their tensors alone don't tell.
struct IntegerScheme {
  std::vector<std::string> targets;  // names of modules, or of their class ("Linear")
  Encoding encoding;
};

// Of the integers only: where sparse weights stand is told by their tensors' names, "sparsity_config" is for other
// readers. kBadInput for anything but symmetric integers: of 8 bits with a scale for each output channel, of 4 bits
// with one for each group of columns; with inputs of 8 bits quantized per token, or inputs that stay floats. kBadInput
// also for a "sparsity_config" that is no such object or names an unknown format.
std::vector<IntegerScheme> read_quantization_config(const Json& quantization, std::string_view where);

// The scheme of `kind` that names the module of `weight` ("….dense.weight"), else that of all modules of its class
// (linears or embeddings), else the only one that is not for embeddings; null when there is none.
const IntegerScheme* find_scheme(const std::vector<IntegerScheme>& schemes, EncodingKind kind, std::string_view weight);
// Whether a weight is a table to look rows up in.
bool is_embedding(std::string_view weight);

// Says which parameters are integers and which are sparse; null when none is.
Json make_quantization_config(const ParameterStore& parameters);

}  // namespace fettle
