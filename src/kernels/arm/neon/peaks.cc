#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/peaks.inl.h"

namespace fettle::neon {
namespace {

int64_t f32_loop(int64_t rounds) {
  const float32x4_t factor = vdupq_n_f32(0.5f);
  const float32x4_t term = vdupq_n_f32(1.0f);
  arm::run_chains(vdupq_n_f32(0), rounds, [&](float32x4_t sum) { return vfmaq_f32(sum, factor, term); });
  return rounds * arm::kChains * 4 * 2;
}

// A step of packed_int8.cc: two products of 16 bits in every lane, widened into the sum.
int64_t int8_loop(int64_t rounds) {
  const int8x16_t a = vdupq_n_s8(3);
  arm::run_chains(vdupq_n_s32(0), rounds, [&](int32x4_t sum) {
    const int8x16_t own = vreinterpretq_s8_s32(sum);
    return vpadalq_s16(sum, vmlal_high_s8(vmull_s8(vget_low_s8(own), vget_low_s8(a)), own, a));
  });
  return rounds * arm::kChains * 16 * 2;
}

}  // namespace

const PeakLoops& peaks() {
  static constexpr PeakLoops loops = {f32_loop, f32_loop, int8_loop};
  return loops;
}

}  // namespace fettle::neon
