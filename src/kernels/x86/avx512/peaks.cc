#include <immintrin.h>

#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/peaks.inl.h"
#include "kernels/x86/vec16.h"

namespace fettle::avx512 {
namespace {

int64_t int8_loop(int64_t rounds) {
  const __m512i a = _mm512_set1_epi8(3);
  const __m512i ones = _mm512_set1_epi16(1);
  auto sum = x86::run_chains(_mm512_setzero_si512(), rounds, [&](__m512i x) {
    return _mm512_add_epi32(x, _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_xor_si512(a, x), a), ones));
  });
  asm volatile("" : : "x"(sum));
  return rounds * 8 * 64 * 2;
}

}  // namespace

const PeakLoops& peaks() {
  static constexpr PeakLoops loops = {x86::f32_peak_loop<x86::Vec16>, x86::f32_peak_loop<x86::Vec16>, int8_loop};
  return loops;
}

}  // namespace fettle::avx512
