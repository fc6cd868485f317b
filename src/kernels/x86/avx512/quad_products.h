// What the AVX-512 products with packed quads have in common (kernels/vector/packed_quads.inl.h).
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "kernels/vector/packed_quads.inl.h"
#include "kernels/x86/avx512/transpose.h"

namespace fettle::avx512 {
namespace {

// Not __m512i: its lanes are 64-bit numbers to gcc 12, which then keeps a copy of every sum in memory.
using QuadSum __attribute__((vector_size(64))) = int32_t;

// A row of 16 outputs' values for each of 16 rows; sums(i) are those of output i, one lane for each row.
template <typename Sums>
[[gnu::always_inline]] inline void finish_tile(const QuadTile& tile, Sums sums) {
  const __m512 row_scales = _mm512_loadu_ps(tile.row_scales);
  __m512i values[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const __m512 scale = _mm512_mul_ps(row_scales, _mm512_set1_ps(tile.scales[i]));
    const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums(i)), scale);
    values[i] = _mm512_castps_si512(_mm512_add_ps(value, _mm512_set1_ps(tile.bias[i])));
  }
  transpose16(values);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(tile.to + i * tile.to_stride, values[i]);
}

// Rows of 64 bytes as lines of one dword each of 16 rows.
inline void turn_dwords(std::byte* lines, int64_t n_bytes) {
  for (std::byte* at = lines; at < lines + n_bytes; at += 16 * kLineBytes) {
    __m512i v[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) v[i] = _mm512_load_si512(at + i * kLineBytes);
    transpose16(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) _mm512_store_si512(at + i * kLineBytes, v[i]);
  }
}

// Sums of 16 lanes in one register. Product is the type of the including file, for a copy of its own; so below.
template <typename Product>
struct QuadSums {
  static constexpr int kMostVectors = 4;
  static constexpr int64_t kSumBytes = 64;
  using Sum = QuadSum;
  using Weights = __m512i;

  static Sum zero() { return Sum{}; }
  static Sum load(const std::byte* p) { return (Sum)_mm512_load_si512(p); }
  static void store(std::byte* p, Sum sum) { _mm512_store_si512(p, (__m512i)sum); }
  static int32_t quad(const std::byte* p) {
    int32_t weights;
    __builtin_memcpy(&weights, p, sizeof weights);
    return weights;
  }
};

// Inputs have 128 added (vpdpbusd takes one unsigned operand); 128 · Σ w is subtracted at the end.
template <typename Product>
struct Uint8Quads : QuadSums<Product> {
  static constexpr int kVectors = 1;
  static constexpr int kMaxBlocks = 4;
  static constexpr int64_t kQuadBytes = 64;
  using typename QuadSums<Product>::Sum;
  using typename QuadSums<Product>::Weights;

  static Weights weights(const std::byte* p) { return _mm512_set1_epi32(QuadSums<Product>::quad(p)); }
  // The intrinsic makes gcc 12 copy every sum, and spill some, at every step.
  static Sum add(Sum sum, const std::byte* x, Weights weights) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(_mm512_load_si512(x)), "v"(weights));
    return sum;
  }
  static void finish(const QuadTile& tile) {
    finish_tile(tile, [&](int i) {
      return _mm512_sub_epi32(_mm512_load_si512(tile.sums + i * tile.stride), _mm512_set1_epi32(tile.offsets[i]));
    });
  }
};

}  // namespace
}  // namespace fettle::avx512
