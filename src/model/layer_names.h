// Names of the parameters of one encoder layer, as Hugging Face has them. Append ".weight" or ".bias".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"

namespace fettle {

struct EncoderLayerNames {
  std::string prefix;  // "bert.encoder.layer.0."
  std::string query;   // with the prefix, as all below
  std::string key;
  std::string value;
  std::string attention_output;
  std::string attention_norm;
  std::string intermediate;
  std::string output;
  std::string output_norm;
};

// `block`: of an ALBERT layer, whose group has several. There, and where a layer has the parameters of another
// (layer_sources), the prefix is the layer's own and the names are those of the parameters.
EncoderLayerNames encoder_layer_names(const ModelConfig& config, int64_t layer, int64_t block = 0);
// Its linears and norms.
std::vector<std::string> modules_of(const EncoderLayerNames& names);

}  // namespace fettle
