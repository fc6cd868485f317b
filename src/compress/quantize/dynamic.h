// Quantization without data: weights offline, of 8 bits with one scale a row or of 4 bits with one a group; activations
// on the fly, one scale a token (techniques C2, C3), or not at all (D1).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"

namespace fettle {

struct QuantizeOptions {
  bool embeddings = false;  // word, position and type tables too
  bool head = true;         // pooler and classifier
  int bits = 8;         // 8, or 4: of the encoder's linears. Head and tables have 8 at most: they are few bytes of a
                        // query, and what they round off nothing after them can mend
  int group_size = 32;  // with 4 bits: inputs that share a scale, a multiple of 8
  int input_bits = 8;   // with 4 bits: 8 (W4A8) or 16 (W4A16)
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

// Encodes every linear weight (rank 2, not an embedding unless asked) as int8-channel or int4-group; one with many
// zeros as sparse int8 where that has fewer bytes. Biases and norms stay f32.
QuantizeReport quantize_dynamic(Model& model, const QuantizeOptions& options);

}  // namespace fettle
