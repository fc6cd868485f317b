// Dynamic int8 quantization: weights offline, one scale a row; activations on the fly, one scale a token (techniques
// C2, C3).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"

namespace fettle {

struct QuantizeOptions {
  bool embeddings = false;  // word, position and type tables too
  bool head = true;         // pooler and classifier
};

struct LayerQuantization {
  std::string name;
  std::string encoding;
  Shape shape;
  double rmse = 0;
  double cosine = 1;  // between the original and the decoded weights
};

struct QuantizeReport {
  double size_mb_before = 0;  // MiB of all parameters as encoded
  double size_mb = 0;
  double bits_per_weight = 0;  // scales included, over all parameters
  std::vector<LayerQuantization> layers;
};

// Encodes every linear weight (rank 2, not an embedding unless asked) as int8-channel. Biases and norms stay f32.
QuantizeReport quantize_dynamic(Model& model, const QuantizeOptions& options);

}  // namespace fettle
