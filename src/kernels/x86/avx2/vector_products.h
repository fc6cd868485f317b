// What the AVX2 products with packed panels have in common (see kernels/vector/packed_vectors.h).
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "kernels/packed_panels.h"

namespace fettle::avx2 {

// 16 registers: two for every sum of 16 columns and every weight, one input.
constexpr int kVectorRows = 6;
constexpr int vector_panels(int rows) {
  return rows == 1 ? 4 : rows == 2 ? 2 : 1;
}

struct FloatPair {
  __m256 low;
  __m256 high;
};
struct IntPair {
  __m256i low;
  __m256i high;
};
// Not __m256i: its lanes are 64-bit numbers to gcc 12, which then keeps a copy of every sum in memory.
using Ints __attribute__((vector_size(32))) = int32_t;
struct IntSums {
  Ints low;
  Ints high;
};

// Product is the type of the including file, for a copy of its own.
template <typename Product>
struct FloatSums {
  static constexpr int kMaxRows = kVectorRows;
  static constexpr int panels_for(int rows) { return vector_panels(rows); }
  using Sum = FloatPair;
  using Weights = FloatPair;
  using Input = __m256;
  using Column = FloatPair;  // bias

  static Sum zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Input input(const std::byte* p) { return _mm256_broadcast_ss(reinterpret_cast<const float*>(p)); }
  static Sum add(Sum sum, Input input, Weights weights) {
    return {_mm256_fmadd_ps(input, weights.low, sum.low), _mm256_fmadd_ps(input, weights.high, sum.high)};
  }
  static Column column(const PanelWeights& w, int64_t c) {
    return {_mm256_loadu_ps(w.bias + c), _mm256_loadu_ps(w.bias + c + 8)};
  }
  static void finish(float* to, Sum sum, Column bias, float) {
    _mm256_storeu_ps(to, _mm256_add_ps(sum.low, bias.low));
    _mm256_storeu_ps(to + 8, _mm256_add_ps(sum.high, bias.high));
  }
};

}  // namespace fettle::avx2
