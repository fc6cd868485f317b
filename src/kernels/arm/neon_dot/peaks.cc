#include <arm_neon.h>

#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/neon_dot/kernels.h"
#include "kernels/vector/peaks.inl.h"

namespace fettle::neon_dot {
namespace {

int64_t int8_loop(int64_t rounds) {
  const int8x16_t a = vdupq_n_s8(3);
  const int32x4_t sum = vector::run_chains(vdupq_n_s32(0), rounds, [&](int32x4_t x) { return vdotq_s32(x, a, a); });
  asm volatile("" : : "w"(sum));
  return rounds * 8 * 16 * 2;
}

}  // namespace

const PeakLoops& peaks() {
  static const PeakLoops loops = {neon::peaks().f32, neon::peaks().bf16, int8_loop};
  return loops;
}

}  // namespace fettle::neon_dot
