// What the AVX-512 products with packed panels have in common (see kernels/vector/packed_vectors.h).
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "kernels/packed_panels.h"

namespace fettle::avx512 {

// 32 registers: sums of rows × panels, the panels' weights and one input.
constexpr int kVectorRows = 12;
constexpr int vector_panels(int rows) {
  return rows <= 4 ? 6 : rows <= 6 ? 4 : rows <= 8 ? 3 : 2;
}

// Product is the type of the including file, for a copy of its own.
template <typename Product>
struct FloatSums {
  static constexpr int kMaxRows = kVectorRows;
  static constexpr int panels_for(int rows) { return vector_panels(rows); }
  using Sum = __m512;
  using Weights = __m512;
  using Input = __m512;
  using Column = __m512;  // bias

  static Sum zero() { return _mm512_setzero_ps(); }
  static Input input(const std::byte* p) {
    float value;
    __builtin_memcpy(&value, p, sizeof value);
    return _mm512_set1_ps(value);
  }
  static Sum add(Sum sum, Input input, Weights weights) { return _mm512_fmadd_ps(input, weights, sum); }
  static Column column(const PanelWeights& w, int64_t c) { return _mm512_loadu_ps(w.bias + c); }
  static void finish(float* to, Sum sum, Column bias, float) { _mm512_storeu_ps(to, _mm512_add_ps(sum, bias)); }
};

template <typename Product>
struct Int8Sums {
  static constexpr int kMaxRows = kVectorRows;
  static constexpr int panels_for(int rows) { return vector_panels(rows); }
  // Not __m512i: its lanes are 64-bit numbers to gcc 12, which then keeps a copy of every sum in memory.
  using Sum __attribute__((vector_size(64))) = int32_t;
  using Weights = __m512i;
  using Input = __m512i;
  struct Column {
    __m512 scale;
    __m512 bias;
    __m512i offset;
  };

  static Sum zero() { return Sum{}; }
  static Input input(const std::byte* p) {
    int32_t value;
    __builtin_memcpy(&value, p, sizeof value);
    return _mm512_set1_epi32(value);
  }
  static Column column(const PanelWeights& w, int64_t c) {
    return {_mm512_loadu_ps(w.scales + c), _mm512_loadu_ps(w.bias + c), _mm512_loadu_si512(w.offsets + c)};
  }
  // kUnsigned: inputs have 128 added.
  template <bool kUnsigned>
  static void finish_as(float* to, Sum sum, const Column& column, float row_scale) {
    const __m512i exact = kUnsigned ? _mm512_sub_epi32((__m512i)sum, column.offset) : (__m512i)sum;
    const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(row_scale), column.scale);
    _mm512_storeu_ps(to, _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(exact), scale), column.bias));
  }
};

}  // namespace fettle::avx512
