// What makes values of sums (kernels/packed_panels.h), for TileFinisher; and the preparation of bf16 inputs.
#pragma once

#include <immintrin.h>

#include "kernels/packed_panels.h"

namespace fettle::amx {

struct Dequantize {
  struct Columns {
    __m512 scale;
    __m512 bias;
  };
  static Columns columns(const PanelWeights& w, int64_t c) {
    return {_mm512_loadu_ps(w.scales + c), _mm512_loadu_ps(w.bias + c)};
  }
  static __m512 value(const float* row_scale, const std::byte* sums, const Columns& columns) {
    const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(*row_scale), columns.scale);
    return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums)), scale), columns.bias);
  }
};

struct AddBias {
  using Columns = __m512;
  static Columns columns(const PanelWeights& w, int64_t c) { return _mm512_loadu_ps(w.bias + c); }
  static __m512 value(const float*, const std::byte* sums, Columns bias) {
    return _mm512_add_ps(_mm512_load_ps(sums), bias);
  }
};

void copy_bf16(const PrepareRows& from, std::byte* to, float* scales);     // the same from x_bf16
void prepare_bf16(const PrepareRows& from, std::byte* to, float* scales);  // scales are not written

}  // namespace fettle::amx
