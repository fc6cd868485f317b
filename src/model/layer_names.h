// Names of the parameters of one encoder layer, as Hugging Face has them. Append ".weight" or ".bias".
#pragma once

#include <cstdint>
#include <string>

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

// `block`: of an ALBERT layer, whose group has several. There the prefix is the layer's and the names are its group's.
EncoderLayerNames encoder_layer_names(const ModelConfig& config, int64_t layer, int64_t block = 0);

}  // namespace fettle
