#include "kernels/vector/peaks.inl.h"

#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/vec4.h"

namespace fettle::neon {
namespace {

int64_t int8_loop(int64_t rounds) {
  const int8x16_t a = vdupq_n_s8(3);
  const int32x4_t sum = vector::run_chains(vdupq_n_s32(0), rounds, [&](int32x4_t x) {
    const int8x16_t own = veorq_s8(a, vreinterpretq_s8_s32(x));
    return vpadalq_s16(x, vmlal_high_s8(vmull_s8(vget_low_s8(own), vget_low_s8(a)), own, a));
  });
  asm volatile("" : : "w"(sum));
  return rounds * 8 * 16 * 2;
}

}  // namespace

const PeakLoops& peaks() {
  static constexpr PeakLoops loops = {vector::f32_peak_loop<arm::Vec4>, vector::f32_peak_loop<arm::Vec4>, int8_loop};
  return loops;
}

}  // namespace fettle::neon
