// The matrix products of one layer of BERT-base, for benchmarks of kernels.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace fettle::bench {

inline constexpr int kLayers = 12;
inline constexpr int64_t kHidden = 768;

struct LayerShape {
  int64_t in;
  int64_t out;
  Activation activation;
};
inline constexpr LayerShape kShapes[] = {{kHidden, 3 * kHidden, Activation::kNone},
                                         {kHidden, kHidden, Activation::kNone},
                                         {kHidden, 4 * kHidden, Activation::kGelu},
                                         {4 * kHidden, kHidden, Activation::kNone}};

}  // namespace fettle::bench
