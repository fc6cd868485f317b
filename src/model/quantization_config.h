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
// readers. kBadInput for anything but: in the format "int-quantized" symmetric integers of 8 bits with a scale for each
// output channel or for all; in "pack-quantized" integers of 2, 3, 4, 6 or 8 bits, with zero points or without, with a
// scale for each output channel or group of columns; and with inputs that stay floats, or symmetric ones of 8 bits with
// a scale per token (dynamic) or for all (static). kBadInput also for a "sparsity_config" that is no such object or
// names an unknown format.
std::vector<IntegerScheme> read_quantization_config(const Json& quantization, std::string_view where);

// The scheme of `kind` that names the module of `weight` ("….dense.weight"), else that of all modules of its class
// (linears or embeddings), else the only one that is not for embeddings; null when there is none.
const IntegerScheme* find_scheme(const std::vector<IntegerScheme>& schemes, EncodingKind kind, std::string_view weight);
// Whether a weight is a table to look rows up in.
bool is_embedding(std::string_view weight);

// "X.input_scale" for "X.weight": f32 [1], of static inputs.
std::string input_scale_name(std::string_view weight);

// Says which parameters are integers and which are sparse; null when none is.
Json make_quantization_config(const ParameterStore& parameters);

}  // namespace fettle
