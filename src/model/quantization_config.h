// The "quantization_config" of config.json, in the form of compressed-tensors.
#pragma once

#include <string_view>

#include "model/model.h"

namespace fettle {

// kBadInput for anything but int8 weights with one symmetric scale for each output channel.
void check_quantization_config(const Json& quantization, std::string_view where);

// Says which parameters are int8; null when none is.
Json make_quantization_config(const ParameterStore& parameters);

}  // namespace fettle
