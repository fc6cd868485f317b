// What goes into a model's linears, over a data set: the second moments that weighted decompositions need.
#pragma once

#include <map>
#include <set>
#include <string>

#include "data/dataset.h"
#include "model/model.h"

namespace fettle {

struct CalibrationOptions {
  int64_t n_samples = 512;  // of the data, evenly spaced
  int64_t max_length = 64;  // tokens of each
  int n_threads = 0;
  std::string isa;
};

// Σ x xᵀ over all tokens, f32 [in, in], by the name of the linear; linears that read the same value share the tensor.
// The same bytes at any number of threads. kBadInput for a model without a tokenizer and for empty data.
std::map<std::string, Tensor> input_moments(const Model& model, const std::set<std::string>& linears,
                                            const Dataset& data, const CalibrationOptions& options);

}  // namespace fettle
