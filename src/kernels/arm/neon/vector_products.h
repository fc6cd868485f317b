// What the NEON products with packed panels have in common (see kernels/vector/packed_vectors.h).
#pragma once

#include <arm_neon.h>

#include <cstddef>

#include "kernels/packed_panels.h"

namespace fettle::neon {

// 32 registers: four for every sum of 16 columns, four for the weights of a panel, one input.
constexpr int kVectorRows = 6;
constexpr int vector_panels(int rows) {
  return rows == 1 ? 4 : rows == 2 ? 2 : 1;
}

// Product is the type of the including file, for a copy of its own.
template <typename Product, typename Vector>
struct Four {
  Vector v0, v1, v2, v3;
};

template <typename Product>
struct FloatSums {
  static constexpr int kMaxRows = kVectorRows;
  static constexpr int panels_for(int rows) { return vector_panels(rows); }
  using Sum = Four<Product, float32x4_t>;
  using Weights = Four<Product, float32x4_t>;
  using Input = float32x4_t;
  using Column = Four<Product, float32x4_t>;  // bias

  static Sum zero() { return {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)}; }
  static Input input(const std::byte* p) {
    float value;
    __builtin_memcpy(&value, p, sizeof value);
    return vdupq_n_f32(value);
  }
  static Sum add(Sum sum, Input input, Weights w) {
    return {vfmaq_f32(sum.v0, w.v0, input), vfmaq_f32(sum.v1, w.v1, input), vfmaq_f32(sum.v2, w.v2, input),
            vfmaq_f32(sum.v3, w.v3, input)};
  }
  static Column load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}; }
  static Column column(const PanelWeights& w, int64_t c) { return load(w.bias + c); }
  static void finish(float* to, Sum sum, Column bias, float) {
    vst1q_f32(to, vaddq_f32(sum.v0, bias.v0));
    vst1q_f32(to + 4, vaddq_f32(sum.v1, bias.v1));
    vst1q_f32(to + 8, vaddq_f32(sum.v2, bias.v2));
    vst1q_f32(to + 12, vaddq_f32(sum.v3, bias.v3));
  }
};

template <typename Product>
struct Int8Sums {
  using Sum = Four<Product, int32x4_t>;
  using Weights = Four<Product, int8x16_t>;
  struct Column {
    const float* scales;
    const float* bias;
  };

  static Sum zero() { return {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}; }
  static Weights weights(const std::byte* p) {
    const auto* w = reinterpret_cast<const int8_t*>(p);
    return {vld1q_s8(w), vld1q_s8(w + 16), vld1q_s8(w + 32), vld1q_s8(w + 48)};
  }
  static Column column(const PanelWeights& w, int64_t c) { return {w.scales + c, w.bias + c}; }
  static void finish(float* to, Sum sum, const Column& column, float row_scale) {
    const int32x4_t sums[4] = {sum.v0, sum.v1, sum.v2, sum.v3};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const float32x4_t scale = vmulq_n_f32(vld1q_f32(column.scales + 4 * i), row_scale);
      const float32x4_t bias = vld1q_f32(column.bias + 4 * i);
      vst1q_f32(to + 4 * i, vaddq_f32(vmulq_f32(vcvtq_f32_s32(sums[i]), scale), bias));
    }
  }
};

}  // namespace fettle::neon
