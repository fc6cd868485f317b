// AVX2: eight floats. One of the vector types that the shared kernels (kernels/vector/*.inl.h) are templates over.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/vector/lanes.h"

// Unnamed namespaces here and in the shared kernels keep code of different instruction sets apart at link time.
namespace fettle::x86 {
namespace {

using vector::AllLanes;
using vector::FirstLanes;

struct Vec8 {
  using Float = __m256;
  using Int = __m256i;
  using Mask = __m256;
  static constexpr int64_t kWidth = 8;
  // Rows of the matrix product's register block, which is two vectors wide.
  static constexpr int kBlockRows = 6;
  // The same for attention's small products.
  static constexpr int kSmallRows = 4;

  static __m256i mask_of(FirstLanes lanes) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(lanes.n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }

  static Float zero() { return _mm256_setzero_ps(); }
  static Float broadcast(float x) { return _mm256_set1_ps(x); }
  static Float load(const float* p, AllLanes = {}) { return _mm256_loadu_ps(p); }
  static Float load(const float* p, FirstLanes lanes) { return _mm256_maskload_ps(p, mask_of(lanes)); }
  static void store(float* p, Float x, AllLanes = {}) { _mm256_storeu_ps(p, x); }
  static void store(float* p, Float x, FirstLanes lanes) { _mm256_maskstore_ps(p, mask_of(lanes), x); }
  // x in the lanes, `other` beyond them.
  static Float keep(Float x, Float, AllLanes) { return x; }
  static Float keep(Float x, Float other, FirstLanes lanes) {
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(mask_of(lanes)));
  }

  // a · b + c, and c - a · b
  static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
  static Float fnma(Float a, Float b, Float c) { return _mm256_fnmadd_ps(a, b, c); }
  // b where either is NaN.
  static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
  static Float sqrt(Float x) { return _mm256_sqrt_ps(x); }
  static Float abs(Float x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  static Float copy_sign(Float x, Float sign) {
    const __m256 bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, x), _mm256_and_ps(bit, sign));
  }
  // False where either is NaN.
  static Mask less(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static Float select(Mask mask, Float yes, Float no) { return _mm256_blendv_ps(no, yes, mask); }

  static Float round(Float x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // x · 2^n for whole n in [-126, 128], in two factors, as 2^128 is no float.
  static Float times_power_of_two(Float x, Float n) {
    const __m256i power = _mm256_cvtps_epi32(n);
    const __m256i most = _mm256_min_epi32(power, _mm256_set1_epi32(127));
    const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(most, _mm256_set1_epi32(127)), 23);
    const __m256i rest = _mm256_sub_epi32(power, most);
    const __m256i second = _mm256_slli_epi32(_mm256_add_epi32(rest, _mm256_set1_epi32(127)), 23);
    return x * _mm256_castsi256_ps(first) * _mm256_castsi256_ps(second);
  }
  // Nearest bf16 value, ties to even; NaN stays NaN.
  static Float round_to_bf16(Float x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i rounded = _mm256_and_si256(sum, _mm256_set1_epi32(static_cast<int>(0xffff0000)));
    return _mm256_blendv_ps(_mm256_castsi256_ps(rounded), x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  }

  // Integers, for random bits. Products are those of the low halves of 64-bit lanes.
  static Int broadcast_64(uint64_t x) { return _mm256_set1_epi64x(static_cast<int64_t>(x)); }
  static Int broadcast_32(uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }
  static Int broadcast_16(uint16_t x) { return _mm256_set1_epi16(static_cast<int16_t>(x)); }
  static Int add_64(Int a, Int b) { return _mm256_add_epi64(a, b); }
  static Int multiply_low_halves(Int a, Int b) { return _mm256_mul_epu32(a, b); }
  static Int high_halves(Int x) { return _mm256_srli_epi64(x, 32); }
  static Int swap_halves(Int x) { return _mm256_shuffle_epi32(x, 0xb1); }
  static Int bit_xor(Int a, Int b, Int c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
  static Int join_halves(Int low, Int high) { return _mm256_blend_epi32(low, high, 0xaa); }
  static Int unpack_low_64(Int a, Int b) { return _mm256_unpacklo_epi64(a, b); }
  static Int unpack_high_64(Int a, Int b) { return _mm256_unpackhi_epi64(a, b); }
  // n, so that the unpacked halves of 64-bit lanes n are in order.
  static Int unpack_order() { return _mm256_setr_epi64x(0, 2, 1, 3); }
  // One bit for each 16-bit lane of a, then of b: whether it is >= least, unsigned.
  static uint64_t at_least_16(Int a, Int b, Int least) {
    const __m256i of_a = _mm256_cmpeq_epi16(_mm256_max_epu16(a, least), a);
    const __m256i of_b = _mm256_cmpeq_epi16(_mm256_max_epu16(b, least), b);
    const __m256i in_order = _mm256_permute4x64_epi64(_mm256_packs_epi16(of_a, of_b), 0xd8);
    return static_cast<uint32_t>(_mm256_movemask_epi8(in_order));
  }
  static Mask mask_of_bits(uint64_t bits) {
    const __m256i lane_bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i own = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane_bit);
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(own, lane_bit));
  }

  // r[i][j] becomes r[j][i].
  static void transpose(Float (&r)[8]) {
    Float t[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      const Float a = _mm256_unpacklo_ps(r[i], r[i + 1]);
      const Float b = _mm256_unpackhi_ps(r[i], r[i + 1]);
      const Float c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
      const Float d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
      t[i] = _mm256_shuffle_ps(a, c, 0x44);
      t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
      t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
      t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
      r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
  }

  // Sum and largest of the lanes, in a fixed order.
  static float sum(Float x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
  static float largest(Float x) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }

  // Doubles, for sums of squares.
  using Double = __m256d;
  static Double zero_double() {
    return _mm256_setzero_pd();
  }
  static Double add_squares(Double total, Float x) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
    return _mm256_fmadd_pd(high, high, _mm256_fmadd_pd(low, low, total));
  }
  static double sum_double(Double x) {
    alignas(32) double lanes[4];
    _mm256_store_pd(lanes, x);
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
  }
};

}  // namespace
}  // namespace fettle::x86
