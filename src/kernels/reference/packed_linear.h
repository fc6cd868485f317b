// What the three reference products share: plain storage of the weights and the end of every output element.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.h"

namespace fettle::reference {

// Row-major copy of a LinearWeights; Element is its stored type.
template <typename Element>
struct PlainWeights {
  explicit PlainWeights(const LinearWeights& from)
      : out_features(from.out_features),
        in_features(from.in_features),
        weight(static_cast<const Element*>(from.weight),
               static_cast<const Element*>(from.weight) + from.out_features * from.in_features),
        bias(static_cast<size_t>(from.out_features), 0.0f) {
    if (from.bias != nullptr) bias.assign(from.bias, from.bias + from.out_features);
  }
  const Element* row(int64_t o) const { return weight.data() + o * in_features; }
  int64_t size_bytes() const {
    return static_cast<int64_t>(weight.size() * sizeof(Element) + bias.size() * sizeof(float));
  }

  int64_t out_features;
  int64_t in_features;
  std::vector<Element> weight;  // [out_features, in_features]
  std::vector<float> bias;      // [out_features]
};

// y = activation(values) + residual for one row; residual may be null, or y itself. values are overwritten.
void finish_row(std::vector<float>& values, Activation activation, const float* residual, float* y);

}  // namespace fettle::reference
