#include <immintrin.h>

#include "kernels/x86/avx2/kernels.h"
#include "kernels/x86/peaks.inl.h"
#include "kernels/x86/vec8.h"

namespace fettle::avx2 {
namespace {

int64_t int8_loop(int64_t rounds) {
  const __m256i a = _mm256_set1_epi8(3);
  const __m256i ones = _mm256_set1_epi16(1);
  auto sum = x86::run_chains(_mm256_setzero_si256(), rounds, [&](__m256i x) {
    return _mm256_add_epi32(x, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_xor_si256(a, x), a), ones));
  });
  asm volatile("" : : "x"(sum));
  return rounds * 8 * 32 * 2;
}

}  // namespace

const PeakLoops& peaks() {
  static constexpr PeakLoops loops = {x86::f32_peak_loop<x86::Vec8>, x86::f32_peak_loop<x86::Vec8>, int8_loop};
  return loops;
}

}  // namespace fettle::avx2
