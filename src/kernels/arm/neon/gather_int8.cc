#include <arm_neon.h>

#include "kernels/arm/neon/kernels.h"

namespace fettle::neon {

void gather_int8(const int8_t* table, const float* scales, const int32_t* ids, int64_t rows, int64_t width, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* row = table + ids[r] * width;
    const float scale = scales[ids[r]];
    float* to = y + r * width;
    int64_t i = 0;
    for (; i + 8 <= width; i += 8) {
      const int16x8_t wide = vmovl_s8(vld1_s8(row + i));
      vst1q_f32(to + i, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), scale));
      vst1q_f32(to + i + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(wide)), scale));
    }
    for (; i < width; ++i) to[i] = static_cast<float>(row[i]) * scale;
  }
}

}  // namespace fettle::neon
