// Mixed precision: each weight gets the bits that cost the answers least, under a budget of size or of divergence.
#pragma once

#include <string>
#include <vector>

#include "compress/quantize/sensitivity.h"

namespace fettle {

struct MixedOptions {
  double max_mb = 0;  // MiB of all parameters as encoded; 0: no limit
  double max_kl = 0;  // measured divergence of the whole model, nats a text; 0: no limit
};

// What became of a weight, and why.
struct MixedLayer {
  std::string name;
  std::string encoding;  // "f32" where it stays as it is
  double kl = 0;         // with it alone rounded
  int64_t size_bytes = 0;
  std::string remark;  // where it is wider than the narrowest: what that would have done
};

struct MixedResult {
  QuantizePlan plan;
  std::vector<MixedLayer> layers;  // the most sensitive first: by the divergence of their narrowest choice
  double kl = 0;                   // measured, of all together
  double kl_sum = 0;               // of all weights one by one
  double size_mb = 0;
};

// Chooses one of its choices, or to stay as it is, for every weight: from all in float on, whatever saves most bytes
// for the least divergence comes first, along each weight's lower convex hull (the relaxed knapsack, whose answer is
// the best one up to a single weight). With max_mb it stops as soon as the model is small enough, with max_kl before
// the measured divergence of the whole exceeds it. kConstraints when the limits cannot be met together.
MixedResult choose_mixed(LogitProbe& probe, const Model& model, const std::vector<WeightChoice>& choices,
                         const MixedOptions& options);

}  // namespace fettle
