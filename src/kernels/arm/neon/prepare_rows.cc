#include "kernels/arm/neon/prepare_rows.h"

#include <arm_neon.h>

#include <bit>
#include <limits>

#include "kernels/arm/vec4.h"

namespace fettle::neon {
namespace {

using arm::Vec4;

constexpr int64_t kLanes = Vec4::kWidth;
constexpr uint32_t kInfinityBits = 0x7f800000;

// Values [k, k + 4) of a row of n, zero beyond its end.
float32x4_t load(const float* x, int64_t n, int64_t k) {
  if (n - k >= kLanes) return vld1q_f32(x + k);
  return n > k ? Vec4::load(x + k, vector::FirstLanes{n - k}) : vdupq_n_f32(0);
}

// Bits of the largest magnitude: as integers they order like the values, with infinities and NaNs above all numbers.
uint32_t absmax_bits(const float* x, int64_t n) {
  const uint32x4_t magnitude = vdupq_n_u32(0x7fffffff);
  const auto bits_at = [&](int64_t k) { return vandq_u32(vreinterpretq_u32_f32(load(x, n, k)), magnitude); };
  uint32x4_t largest[4] = {vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0), vdupq_n_u32(0)};
  int64_t k = 0;
  for (; k + 4 * kLanes <= n; k += 4 * kLanes) {
    for (int i = 0; i < 4; ++i) largest[i] = vmaxq_u32(largest[i], bits_at(k + i * kLanes));
  }
  for (; k < n; k += kLanes) largest[0] = vmaxq_u32(largest[0], bits_at(k));
  return vmaxvq_u32(vmaxq_u32(vmaxq_u32(largest[0], largest[1]), vmaxq_u32(largest[2], largest[3])));
}

int16x4_t quantize4(const float* x, int64_t n, int64_t k, float32x4_t factor) {
  return vqmovn_s32(vcvtnq_s32_f32(vmulq_f32(load(x, n, k), factor)));
}

// Saturates at -128, which only a scale that was given for all rows can lead to.
int8x8_t quantize8(const float* x, int64_t n, int64_t k, float32x4_t factor) {
  const int16x8_t q = vcombine_s16(quantize4(x, n, k, factor), quantize4(x, n, k + kLanes, factor));
  return vmax_s8(vqmovn_s16(q), vdup_n_s8(-127));
}

}  // namespace

void prepare_f32(const PrepareRows& from, std::byte* to, float*) {
  constexpr int64_t kPerLine = kLineBytes / 4;
  const int64_t line_stride = from.row_block * kLineBytes;
  for (int64_t r = 0; r < from.rows; ++r) {
    const float* x = from.x + r * from.ldx;
    std::byte* line = to + r * kLineBytes;
    for (int64_t k = 0; k < from.k_padded; k += kPerLine, line += line_stride) {
      auto* out = reinterpret_cast<float*>(line);
      for (int64_t i = 0; i < kPerLine; i += kLanes) vst1q_f32(out + i, load(x, from.in_features, k + i));
    }
  }
}

void prepare_int8(const PrepareRows& from, std::byte* to, float* scales) {
  const int64_t line_stride = from.row_block * kLineBytes;
  for (int64_t r = 0; r < from.rows; ++r) {
    const float* x = from.x + r * from.ldx;
    const uint32_t bits = absmax_bits(x, from.in_features);
    const bool finite = bits < kInfinityBits;
    const float absmax = finite ? std::bit_cast<float>(bits) : 0.0f;
    const float scale = from.input_scale > 0 ? from.input_scale : quantize_scale(absmax);
    scales[r] = finite ? scale : std::numeric_limits<float>::quiet_NaN();
    const float32x4_t factor = vdupq_n_f32(from.input_scale > 0 ? 1.0f / scale : quantize_factor(absmax));
    // A row that is not finite is prepared as zeros: cutting it to no values does that.
    const int64_t n = finite ? from.in_features : 0;
    std::byte* line = to + r * kLineBytes;
    for (int64_t k = 0; k < from.k_padded; k += kLineBytes, line += line_stride) {
      auto* out = reinterpret_cast<int8_t*>(line);
      for (int64_t i = 0; i < kLineBytes; i += 8) vst1_s8(out + i, quantize8(x, n, k + i, factor));
    }
  }
}

}  // namespace fettle::neon
