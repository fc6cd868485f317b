// Weights that have many zeros are stored without them, where that takes fewer bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"

namespace fettle {

struct StoredLayer {
  std::string name;
  std::string encoding;  // "f32" where no sparse form is smaller
  double zeros = 0;      // share of all numbers
  int64_t dense_bytes = 0;
  int64_t bytes = 0;
};

// Every matrix that is no table becomes what tensor/sparse.h finds smallest for its numbers: dense, or one of the
// sparse patterns. Values do not change. One entry for each of them, sparse or not, in the model's order.
std::vector<StoredLayer> store_smallest(Model& model);

}  // namespace fettle
