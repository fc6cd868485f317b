#include <immintrin.h>

#include "kernels/x86/avx2/kernels.h"

namespace fettle::avx2 {

void gather_int8(const int8_t* table, const float* scales, const int32_t* ids, int64_t rows, int64_t width, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* row = table + ids[r] * width;
    const float scale = scales[ids[r]];
    const __m256 scale8 = _mm256_set1_ps(scale);
    float* to = y + r * width;
    int64_t i = 0;
    for (; i + 8 <= width; i += 8) {
      const __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + i)));
      _mm256_storeu_ps(to + i, _mm256_mul_ps(_mm256_cvtepi32_ps(wide), scale8));
    }
    for (; i < width; ++i) to[i] = static_cast<float>(row[i]) * scale;
  }
}

}  // namespace fettle::avx2
