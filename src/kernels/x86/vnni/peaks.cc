#include <immintrin.h>

#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/peaks.inl.h"
#include "kernels/x86/vnni/kernels.h"

namespace fettle::vnni {
namespace {

int64_t int8_loop(int64_t rounds) {
  const __m512i a = _mm512_set1_epi8(3);
  auto sum = x86::run_chains(_mm512_setzero_si512(), rounds, [&](__m512i x) { return _mm512_dpbusd_epi32(x, a, a); });
  asm volatile("" : : "x"(sum));
  return rounds * 8 * 64 * 2;
}

}  // namespace

const PeakLoops& peaks() {
  static const PeakLoops loops = {avx512::peaks().f32, avx512::peaks().bf16, int8_loop};
  return loops;
}

}  // namespace fettle::vnni
