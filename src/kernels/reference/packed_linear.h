// What the three reference products share: plain storage of the weights and the end of every output element.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/checked.h"
#include "kernels/packed_block.h"
#include "kernels/packed_panels.h"

#include "kernels/kernel_table.h"

namespace fettle::reference {

// Row-major weights, bias and scales, one behind the other, each beginning at a multiple of 64 bytes; Element is the
// weights' stored type.
template <typename Element>
class PlainWeights {
 public:
  explicit PlainWeights(const LinearWeights& from, bool has_scales = false)
      : out_features(from.out_features),
        in_features(from.in_features),
        weight_bytes_(padded(out_features * in_features * static_cast<int64_t>(sizeof(Element)))),
        bias_bytes_(padded(checked_mul(out_features, 2 * static_cast<int64_t>(sizeof(float)), "linear") / 2)),
        block_(weight_bytes_ + bias_bytes_ * (has_scales ? 2 : 1), from.image) {
    std::byte* const to = block_.own();
    if (to == nullptr) return;
    const auto n_rows = static_cast<size_t>(out_features);
    copy(from.weight, n_rows * static_cast<size_t>(in_features) * sizeof(Element), to);
    copy(from.bias, n_rows * sizeof(float), to + weight_bytes_);
    if (has_scales) copy(from.scales, n_rows * sizeof(float), to + weight_bytes_ + bias_bytes_);
  }
  const Element* row(int64_t o) const { return reinterpret_cast<const Element*>(block_.data()) + o * in_features; }
  float bias(int64_t o) const { return reinterpret_cast<const float*>(block_.data() + weight_bytes_)[o]; }
  float scale(int64_t o) const {
    return reinterpret_cast<const float*>(block_.data() + weight_bytes_ + bias_bytes_)[o];
  }
  std::span<const std::byte> image() const { return block_.bytes(); }

  int64_t out_features;
  int64_t in_features;

 private:
  static int64_t padded(int64_t size_bytes) { return (size_bytes + kLineBytes - 1) / kLineBytes * kLineBytes; }
  static void copy(const void* from, size_t size_bytes, std::byte* to) {
    if (from != nullptr && size_bytes > 0) std::memcpy(to, from, size_bytes);
  }

  int64_t weight_bytes_;
  int64_t bias_bytes_;
  PackedBlock block_;
};

// y = activation(values) + residual for one row; residual may be null, or y itself. values are overwritten.
void finish_row(std::vector<float>& values, Activation activation, const float* residual, float* y);

}  // namespace fettle::reference
