// NEON: four floats. One of the vector types that the shared kernels (kernels/vector/*.inl.h) are templates over.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "kernels/vector/lanes.h"

// Unnamed namespaces here and in the shared kernels keep code of different instruction sets apart at link time.
namespace fettle::arm {
namespace {

using vector::AllLanes;
using vector::FirstLanes;

struct Vec4 {
  using Float = float32x4_t;
  using Int = uint64x2_t;
  using Mask = uint32x4_t;
  static constexpr int64_t kWidth = 4;
  // Rows of the matrix product's register block, which is two vectors wide.
  static constexpr int kBlockRows = 12;
  // The same for attention's small products.
  static constexpr int kSmallRows = 8;

  static Mask mask_of(FirstLanes lanes) {
    constexpr uint32_t kLane[] = {0, 1, 2, 3};
    return vcltq_u32(vld1q_u32(kLane), vdupq_n_u32(static_cast<uint32_t>(lanes.n)));
  }

  static Float zero() { return vdupq_n_f32(0); }
  static Float broadcast(float x) { return vdupq_n_f32(x); }
  static Float load(const float* p, AllLanes = {}) { return vld1q_f32(p); }
  static Float load(const float* p, FirstLanes lanes) {
    if (lanes.n >= 4) return vld1q_f32(p);
    if (lanes.n == 3) return vld1q_lane_f32(p + 2, vcombine_f32(vld1_f32(p), vdup_n_f32(0)), 2);
    if (lanes.n == 2) return vcombine_f32(vld1_f32(p), vdup_n_f32(0));
    return lanes.n == 1 ? vld1q_lane_f32(p, zero(), 0) : zero();
  }
  static void store(float* p, Float x, AllLanes = {}) { vst1q_f32(p, x); }
  static void store(float* p, Float x, FirstLanes lanes) {
    if (lanes.n >= 4) return vst1q_f32(p, x);
    if (lanes.n >= 2) vst1_f32(p, vget_low_f32(x));
    if (lanes.n == 3) vst1q_lane_f32(p + 2, x, 2);
    if (lanes.n == 1) vst1q_lane_f32(p, x, 0);
  }
  // x in the lanes, `other` beyond them.
  static Float keep(Float x, Float, AllLanes) { return x; }
  static Float keep(Float x, Float other, FirstLanes lanes) { return vbslq_f32(mask_of(lanes), x, other); }

  // a · b + c, and c - a · b
  static Float fma(Float a, Float b, Float c) { return vfmaq_f32(c, a, b); }
  static Float fnma(Float a, Float b, Float c) { return vfmsq_f32(c, a, b); }
  // b where either is NaN.
  static Float min(Float a, Float b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static Float max(Float a, Float b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static Float sqrt(Float x) { return vsqrtq_f32(x); }
  static Float abs(Float x) { return vabsq_f32(x); }
  static Float copy_sign(Float x, Float sign) { return vbslq_f32(vdupq_n_u32(0x80000000), sign, x); }
  // False where either is NaN.
  static Mask less(Float a, Float b) { return vcltq_f32(a, b); }
  static Float select(Mask mask, Float yes, Float no) { return vbslq_f32(mask, yes, no); }

  static Float round(Float x) { return vrndnq_f32(x); }
  // x · 2^n for whole n in [-126, 128], in two factors, as 2^128 is no float.
  static Float times_power_of_two(Float x, Float n) {
    const int32x4_t power = vcvtq_s32_f32(n);
    const int32x4_t most = vminq_s32(power, vdupq_n_s32(127));
    const int32x4_t first = vshlq_n_s32(vaddq_s32(most, vdupq_n_s32(127)), 23);
    const int32x4_t second = vshlq_n_s32(vaddq_s32(vsubq_s32(power, most), vdupq_n_s32(127)), 23);
    return x * vreinterpretq_f32_s32(first) * vreinterpretq_f32_s32(second);
  }
  // Nearest bf16 value, ties to even; NaN stays NaN.
  static Float round_to_bf16(Float x) {
    const uint32x4_t bits = vreinterpretq_u32_f32(x);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t sum = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    const uint32x4_t rounded = vandq_u32(sum, vdupq_n_u32(0xffff0000));
    return vbslq_f32(vceqq_f32(x, x), vreinterpretq_f32_u32(rounded), x);
  }

  // Integers, for random bits. Products are those of the low halves of 64-bit lanes.
  static Int broadcast_64(uint64_t x) { return vdupq_n_u64(x); }
  static Int broadcast_32(uint32_t x) { return vreinterpretq_u64_u32(vdupq_n_u32(x)); }
  static Int broadcast_16(uint16_t x) { return vreinterpretq_u64_u16(vdupq_n_u16(x)); }
  static Int add_64(Int a, Int b) { return vaddq_u64(a, b); }
  static Int multiply_low_halves(Int a, Int b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
  static Int high_halves(Int x) { return vshrq_n_u64(x, 32); }
  static Int swap_halves(Int x) { return vreinterpretq_u64_u32(vrev64q_u32(vreinterpretq_u32_u64(x))); }
  static Int bit_xor(Int a, Int b, Int c) { return veorq_u64(veorq_u64(a, b), c); }
  static Int join_halves(Int low, Int high) { return vbslq_u64(vdupq_n_u64(0xffffffff), low, high); }
  static Int unpack_low_64(Int a, Int b) { return vzip1q_u64(a, b); }
  static Int unpack_high_64(Int a, Int b) { return vzip2q_u64(a, b); }
  // n, so that the unpacked halves of 64-bit lanes n are in order.
  static Int unpack_order() {
    constexpr uint64_t kOrder[] = {0, 1};
    return vld1q_u64(kOrder);
  }
  // One bit for each 16-bit lane of a, then of b: whether it is >= least, unsigned.
  static uint64_t at_least_16(Int a, Int b, Int least) {
    constexpr uint8_t kBits[] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint16x8_t bound = vreinterpretq_u16_u64(least);
    const uint8x8_t of_a = vmovn_u16(vcgeq_u16(vreinterpretq_u16_u64(a), bound));
    const uint8x8_t of_b = vmovn_u16(vcgeq_u16(vreinterpretq_u16_u64(b), bound));
    const uint8x16_t own = vandq_u8(vcombine_u8(of_a, of_b), vld1q_u8(kBits));
    return vaddv_u8(vget_low_u8(own)) | uint64_t{vaddv_u8(vget_high_u8(own))} << 8;
  }
  static Mask mask_of_bits(uint64_t bits) {
    constexpr uint32_t kLaneBit[] = {1, 2, 4, 8};
    return vtstq_u32(vdupq_n_u32(static_cast<uint32_t>(bits)), vld1q_u32(kLaneBit));
  }

  // r[i][j] becomes r[j][i].
  static void transpose(Float (&r)[4]) {
    const auto wide = [](Float x) { return vreinterpretq_f64_f32(x); };
    const auto narrow = [](float64x2_t x) { return vreinterpretq_f32_f64(x); };
    const Float a = vtrn1q_f32(r[0], r[1]);
    const Float b = vtrn2q_f32(r[0], r[1]);
    const Float c = vtrn1q_f32(r[2], r[3]);
    const Float d = vtrn2q_f32(r[2], r[3]);
    r[0] = narrow(vzip1q_f64(wide(a), wide(c)));
    r[1] = narrow(vzip1q_f64(wide(b), wide(d)));
    r[2] = narrow(vzip2q_f64(wide(a), wide(c)));
    r[3] = narrow(vzip2q_f64(wide(b), wide(d)));
  }

  // Sum and largest of the lanes, in a fixed order.
  static float sum(Float x) { return vaddvq_f32(x); }
  static float largest(Float x) { return vmaxvq_f32(x); }

  // Doubles, for sums of squares.
  using Double = float64x2_t;
  static Double zero_double() { return vdupq_n_f64(0); }
  static Double add_squares(Double total, Float x) {
    const float64x2_t low = vcvt_f64_f32(vget_low_f32(x));
    const float64x2_t high = vcvt_high_f64_f32(x);
    return vfmaq_f64(vfmaq_f64(total, low, low), high, high);
  }
  static double sum_double(Double x) { return vaddvq_f64(x); }
};

}  // namespace
}  // namespace fettle::arm
