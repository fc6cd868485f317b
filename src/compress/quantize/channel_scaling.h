// Scaling the channels between two linears: what one side is divided by, the other is multiplied by, and the model
// computes the same in f32. SmoothQuant (Xiao et al. 2022; techniques D8) makes inputs easier to round by it,
// cross-layer equalization (Nagel et al. 2019) weights.
//
// A channel can be scaled where all that is between is linear in it, and nothing else reads it:
//   value linear → attention → linear     attention mixes tokens, not channels
//   linear → ReLU → linear                scales are above 0
//   linear → linear                       factors of low rank
//   layer norm → linears                  gamma and beta take the scale
// In a post-norm encoder (BERT, DistilBERT, RoBERTa) what a layer norm makes goes into a residual sum too, and GELU is
// linear in nothing: query, key, value and both feed-forward linears keep their inputs as they are.
#pragma once

#include <string>
#include <vector>

#include "compress/quantize/calibration.h"
#include "compress/quantize/plan.h"

namespace fettle {

struct ScalablePair {
  std::string producer;                // weight [channels, in] of a linear, or gamma [channels] of a norm
  std::string offset;                  // its bias or beta; empty: none
  std::vector<std::string> consumers;  // weights [out, channels]
  bool is_norm = false;
  int64_t channels = 0;
};

// In the order of the graph; all weights dense. Where layers share parameters, only pairs that all of them share.
std::vector<ScalablePair> scalable_pairs(const Model& model);

// Rows of the producer and its offset are divided by scales [channels], columns of the consumers multiplied.
void scale_pair(Model& model, const ScalablePair& pair, const std::vector<float>& scales);

struct ScaledPair {
  ScalablePair pair;
  // Smoothing: the largest of the channels' largest inputs over their median. Equalization: how many times a row's
  // range is that of its column or the other way round, of the channel where that is most.
  double before = 1;
  double after = 1;
};

// s_j = max|x_j|^alpha / max|w_j|^(1 - alpha), the largest over all consumers; dead channels stay as they are. Inputs
// are those that `run` shows. alpha in [0, 1].
std::vector<ScaledPair> smooth(Model& model, const CalibrationRun& run, double alpha);

// Rows of the producer and columns of the consumers get the same range: s_j = √(row_j / column_j) of their largest
// magnitudes, for producers that are linears.
std::vector<ScaledPair> equalize(Model& model);

}  // namespace fettle
