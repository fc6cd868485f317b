// The "quantization_config" of config.json, in the form of compressed-tensors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/model.h"

namespace fettle {

// How the 4-bit weights of some modules are encoded, which their tensors alone don't tell.
struct Int4Scheme {
  std::vector<std::string> targets;  // names of modules, or of their class ("Linear")
  Encoding encoding;
};

// The groups of four bits. kBadInput for anything but symmetric integers: of 8 bits with a scale for each output
// channel, of 4 bits with one for each group of columns (and, if at all, inputs of 8 bits quantized per token).
std::vector<Int4Scheme> read_quantization_config(const Json& quantization, std::string_view where);

// The scheme that names the module of `weight` ("….dense.weight"), else that of all linears, else the only one; null
// when there is none.
const Int4Scheme* find_int4_scheme(const std::vector<Int4Scheme>& schemes, std::string_view weight);

// Says which parameters are integers; null when none is.
Json make_quantization_config(const ParameterStore& parameters);

}  // namespace fettle
