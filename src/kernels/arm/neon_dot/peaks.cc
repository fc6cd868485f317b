#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/neon_dot/kernels.h"
#include "kernels/arm/peaks.inl.h"

namespace fettle::neon_dot {
namespace {

int64_t int8_loop(int64_t rounds) {
  const int8x16_t a = vdupq_n_s8(3);
  arm::run_chains(vdupq_n_s32(0), rounds, [&](int32x4_t sum) { return vdotq_s32(sum, a, a); });
  return rounds * arm::kChains * 16 * 2;
}

}  // namespace

const PeakLoops& peaks() {
  static const PeakLoops loops = {neon::peaks().f32, neon::peaks().bf16, int8_loop};
  return loops;
}

}  // namespace fettle::neon_dot
