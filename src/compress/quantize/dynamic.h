// Quantization without data: weights offline, of 8 bits with one scale a row or for all, or of 2 to 8 bits with one a
// group; activations on the fly, one scale a token (techniques C2, C3), or not at all (D1).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"

namespace fettle {

struct QuantizeOptions {
  bool embeddings = false;  // word, position and type tables too
  bool head = true;         // pooler and classifier
  int bits = 8;             // 8, 6, 4, 3 or 2: of the encoder's linears
  // Inputs that share a scale, a multiple of 8; 0: all of a row. By itself 32, and a row with 8 bits.
  int group_size = kDefaultGroup;
  int input_bits = 8;       // 8 (W8A8, W4A8) or 16 (W8A16, W4A16)
  bool asymmetric = false;  // the encoder's linears, and what has fewer than 8 bits of the others, with zero points
  bool per_tensor = false;  // with 8 bits: one scale for all of a linear's weights
  // Head and tables have 8 bits, and a scale for each row, by themselves: they are few bytes of a query, and what they
  // round off nothing after them can mend.
  int embedding_bits = 8;
  int head_bits = 8;

  static constexpr int kDefaultGroup = -1;
};

struct LayerQuantization {
  std::string name;
  std::string encoding;
  Shape shape;
  double rmse = 0;
  double cosine = 1;           // between the original and the decoded weights
  int input_bits = 0;          // of its inputs: 8, or 16 where they stay floats; 0: a table, or floats
  double bits_per_weight = 0;  // as stored, scales included
  double outlier_ratio = 0;    // share of the original weights beyond six standard deviations
  double largest = 0;          // largest magnitude of the original weights
  double largest_input = 0;    // calibrated methods only, as the histogram of its inputs
  std::vector<int64_t> input_histogram = {};
  std::vector<int64_t> histogram = {};  // of the original weights, from -largest to largest, or empty
};

struct QuantizeReport {
  double size_mb_before = 0;  // MiB of all parameters as encoded
  double size_mb = 0;
  double bits_per_weight = 0;  // scales included, over all parameters
  std::vector<LayerQuantization> layers;
};

// Encodes every linear weight (rank 2, not an embedding unless asked) as the options say; one with many zeros as sparse
// int8 where that has fewer bytes. Biases and norms stay f32.
QuantizeReport quantize_dynamic(Model& model, const QuantizeOptions& options);

}  // namespace fettle
