#include <immintrin.h>

#include "kernels/x86/avx512/kernels.h"

namespace fettle::avx512 {

void gather_int8(const int8_t* table, const float* scales, const int32_t* ids, int64_t rows, int64_t width, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* row = table + ids[r] * width;
    const __m512 scale = _mm512_set1_ps(scales[ids[r]]);
    float* to = y + r * width;
    for (int64_t i = 0; i < width; i += 16) {
      const __mmask16 mask = width - i >= 16 ? 0xffff : static_cast<__mmask16>((1u << (width - i)) - 1);
      const __m512i wide = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, row + i));
      _mm512_mask_storeu_ps(to + i, mask, _mm512_mul_ps(_mm512_cvtepi32_ps(wide), scale));
    }
  }
}

}  // namespace fettle::avx512
