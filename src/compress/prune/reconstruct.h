// After a cut without training: the products that read what is left are fitted anew, so that each layer's sum comes out
// as it was in the whole model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/prune/surgery.h"
#include "data/dataset.h"
#include "model/model.h"

namespace fettle {

struct ReconstructOptions {
  int64_t max_examples = 512;  // > 0: at most so many, evenly spaced
  int64_t max_length = 64;
  int64_t batch_size = 32;
  // Ridge towards the weights as they are: this times the mean of the diagonal of the inputs' second moments.
  double damping = 0.01;
  int n_threads = 0;
  std::string isa;
};

// Of one product: mean squared error of the sum it is part of, relative to the mean square of the whole model's.
struct ReconstructedLayer {
  std::string name;
  double error_before = 0;
  double error = 0;
};

// For each layer in order, attention's and the feed-forward part's output product: weight and bias become the least
// squares solution of W x + b + residual = what that sum is in `whole`, for tokens of the texts, where x and the
// residual are those of `cut_model` as it is by then (errors of layers before are mended too). Layers of both models
// pair by `kept.layers`; hidden dimensions must not be cut. Parameters that were encoded are encoded again the same
// way. Errors: kUsage for layers that share parameters, or cut hidden dimensions; kFailed where the equations cannot be
// solved.
std::vector<ReconstructedLayer> reconstruct(Model& cut_model, const Model& whole, const KeptParts& kept,
                                            const Dataset& texts, const ReconstructOptions& options);

}  // namespace fettle
