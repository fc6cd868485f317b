// Low rank: matrices stored and computed as products of smaller ones (techniques I1-I3), and layers that share their
// parameters (I4). Each changes the model in place; what results is trained, quantized, saved and run like any other.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "compress/factorize/input_moments.h"
#include "model/model.h"

namespace fettle {

// Exactly one of rank and target is above 0.
struct FactorizeOptions {
  bool attention = true;  // the linears of these parts of every layer
  bool feed_forward = true;
  int64_t rank = 0;       // of every matrix
  double target = 0;      // share of the numbers of the chosen matrices to remove, in (0, 1)
  double damping = 1e-2;  // of a moment's mean diagonal
  int64_t rank_step = 8;  // terms that --target hands out at a time
  int n_threads = 0;
};

struct LayerFactors {
  std::string name;
  int64_t rank = 0;                                                // 0: it stays whole
  double relative_error = 0;                                       // |W - W'| / |W|
  double output_error = std::numeric_limits<double>::quiet_NaN();  // the same of its outputs on the calibration data
  std::string remark;                                              // why it stays whole, or what it shares
};

struct FactorizeReport {
  double size_mb_before = 0;  // MiB of all parameters as encoded
  double size_mb = 0;
  std::vector<LayerFactors> layers;
};

// The names of the linears of the encoder's layers, each once where layers share it.
std::vector<std::string> encoder_linears(const ModelConfig& config, bool attention, bool feed_forward);

// Two factors for each linear of the encoder by singular value decomposition, weighted by the inputs' second moments
// where there are any (input_moments.h). With `target` the ranks differ (ranks.h). A matrix whose factors would not be
// smaller than it stays as it is, with a remark; kUsage when that is so for all.
// Factors are stored in the float type of the matrix, f32 for integers.
FactorizeReport factorize_linears(Model& model, const FactorizeOptions& options,
                                  const std::map<std::string, Tensor>& moments = {});

// Tucker decomposition of each kind of matrix over all layers: W_l = A · C_l · Bᵀ with A and B shared by the layers
// (stored once) and a core of their own, three products a linear. Higher-order SVD and sweeps of HOOI (De Lathauwer,
// De Moor and Vandewalle 2000) over the first two modes; the third, the layers, stays whole. `rank` is that of both
// sides, cut to the matrix.
FactorizeReport factorize_stacks(Model& model, const FactorizeOptions& options);

// The word table as two factors (ALBERT, Lan et al. 2020): rows of `rank` numbers and one matrix that widens them. A
// row counts as often as `counts` says plus one; empty: all alike.
FactorizeReport factorize_word_table(Model& model, const FactorizeOptions& options,
                                     const std::vector<int64_t>& counts = {});

struct ShareOptions {
  int64_t group = 0;    // layers that share, side by side; 0: all
  bool average = true;  // of the layers' parameters; false: those of the group's first
};

// Layers with one set of parameters for each group: stored once, computed as often as before. kUsage for layers of
// unequal width, for ALBERT (its layers share already), and for the average of layers with factors.
FactorizeReport share_layers(Model& model, const ShareOptions& options);

}  // namespace fettle
