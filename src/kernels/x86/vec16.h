// AVX-512: sixteen floats. One of the vector types that the shared kernels (kernels/vector/*.inl.h) are templates over.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/vector/lanes.h"

// Unnamed namespaces here and in the shared kernels keep code of different instruction sets apart at link time.
namespace fettle::x86 {
namespace {

using vector::AllLanes;
using vector::FirstLanes;

struct Vec16 {
  using Float = __m512;
  using Int = __m512i;
  using Mask = __mmask16;
  static constexpr int64_t kWidth = 16;
  // Rows of the matrix product's register block, which is two vectors wide.
  static constexpr int kBlockRows = 14;
  // The same for attention's small products.
  static constexpr int kSmallRows = 8;

  static Mask mask_of(FirstLanes lanes) { return static_cast<Mask>((1u << lanes.n) - 1); }

  static Float zero() { return _mm512_setzero_ps(); }
  static Float broadcast(float x) { return _mm512_set1_ps(x); }
  static Float load(const float* p, AllLanes = {}) { return _mm512_loadu_ps(p); }
  static Float load(const float* p, FirstLanes lanes) { return _mm512_maskz_loadu_ps(mask_of(lanes), p); }
  static void store(float* p, Float x, AllLanes = {}) { _mm512_storeu_ps(p, x); }
  static void store(float* p, Float x, FirstLanes lanes) { _mm512_mask_storeu_ps(p, mask_of(lanes), x); }
  // x in the lanes, `other` beyond them.
  static Float keep(Float x, Float, AllLanes) { return x; }
  static Float keep(Float x, Float other, FirstLanes lanes) { return _mm512_mask_blend_ps(mask_of(lanes), other, x); }

  // a · b + c, and c - a · b
  static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
  static Float fnma(Float a, Float b, Float c) { return _mm512_fnmadd_ps(a, b, c); }
  // b where either is NaN.
  static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
  static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
  static Float sqrt(Float x) { return _mm512_sqrt_ps(x); }
  static Float abs(Float x) { return _mm512_abs_ps(x); }
  static Float copy_sign(Float x, Float sign) {
    const __m512i bit = _mm512_set1_epi32(INT32_MIN);
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(bit, _mm512_castps_si512(sign), _mm512_castps_si512(x), 0xca));
  }
  // False where either is NaN.
  static Mask less(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static Float select(Mask mask, Float yes, Float no) { return _mm512_mask_blend_ps(mask, no, yes); }

  static Float round(Float x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // x · 2^n for whole n in [-126, 128].
  static Float times_power_of_two(Float x, Float n) { return _mm512_scalef_ps(x, n); }
  // Nearest bf16 value, ties to even; NaN stays NaN.
  static Float round_to_bf16(Float x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __m512i rounded = _mm512_and_si512(sum, _mm512_set1_epi32(static_cast<int>(0xffff0000)));
    return _mm512_mask_mov_ps(_mm512_castsi512_ps(rounded), _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
  }

  // Integers, for random bits. Products are those of the low halves of 64-bit lanes.
  static Int broadcast_64(uint64_t x) { return _mm512_set1_epi64(static_cast<int64_t>(x)); }
  static Int broadcast_32(uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
  static Int broadcast_16(uint16_t x) { return _mm512_set1_epi16(static_cast<int16_t>(x)); }
  static Int add_64(Int a, Int b) { return _mm512_add_epi64(a, b); }
  static Int multiply_low_halves(Int a, Int b) { return _mm512_mul_epu32(a, b); }
  static Int high_halves(Int x) { return _mm512_srli_epi64(x, 32); }
  static Int swap_halves(Int x) { return _mm512_rol_epi64(x, 32); }
  static Int bit_xor(Int a, Int b, Int c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
  static Int join_halves(Int low, Int high) { return _mm512_mask_blend_epi32(0xaaaa, low, high); }
  static Int unpack_low_64(Int a, Int b) { return _mm512_unpacklo_epi64(a, b); }
  static Int unpack_high_64(Int a, Int b) { return _mm512_unpackhi_epi64(a, b); }
  // n, so that the unpacked halves of 64-bit lanes n are in order.
  static Int unpack_order() { return _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7); }
  // One bit for each 16-bit lane of a, then of b: whether it is >= least, unsigned.
  static uint64_t at_least_16(Int a, Int b, Int least) {
    return _mm512_cmpge_epu16_mask(a, least) | uint64_t{_mm512_cmpge_epu16_mask(b, least)} << 32;
  }
  static Mask mask_of_bits(uint64_t bits) { return static_cast<Mask>(bits); }

  // r[i][j] becomes r[j][i].
  static void transpose(Float (&r)[16]) {
    Float t[16];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
      const Float a = _mm512_unpacklo_ps(r[i], r[i + 1]);
      const Float b = _mm512_unpackhi_ps(r[i], r[i + 1]);
      const Float c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
      const Float d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
      t[i] = _mm512_shuffle_ps(a, c, 0x44);
      t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
      t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
      t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Float a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
      const Float b = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
      const Float c = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
      const Float d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
      r[i] = _mm512_shuffle_f32x4(a, b, 0x88);
      r[i + 8] = _mm512_shuffle_f32x4(a, b, 0xdd);
      r[i + 4] = _mm512_shuffle_f32x4(c, d, 0x88);
      r[i + 12] = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
  }

  // Sum and largest of the lanes, in a fixed order.
  static float sum(Float x) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
  }
  static float largest(Float x) {
    return _mm512_reduce_max_ps(x);
  }

  // Doubles, for sums of squares.
  using Double = __m512d;
  static Double zero_double() {
    return _mm512_setzero_pd();
  }
  static Double add_squares(Double total, Float x) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(x));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1));
    return _mm512_fmadd_pd(high, high, _mm512_fmadd_pd(low, low, total));
  }
  static double sum_double(Double x) {
    alignas(64) double lanes[8];
    _mm512_store_pd(lanes, x);
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
  }
};

}  // namespace
}  // namespace fettle::x86
