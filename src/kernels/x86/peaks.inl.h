// Loops of multiply-adds on registers, for measuring peaks.
#pragma once

#include <cstdint>

#include "kernels/vector/lanes.h"

namespace fettle::x86 {
namespace {

// Eight chains of step(sum, round); Step keeps its operands in registers. Returns one result, so that nothing is
// dropped.
template <typename Register, typename Step>
inline Register run_chains(Register start, int64_t rounds, Step step) {
  Register s0 = start, s1 = start, s2 = start, s3 = start, s4 = start, s5 = start, s6 = start, s7 = start;
  for (int64_t i = 0; i < rounds; ++i) {
    s0 = step(s0);
    s1 = step(s1);
    s2 = step(s2);
    s3 = step(s3);
    s4 = step(s4);
    s5 = step(s5);
    s6 = step(s6);
    s7 = step(s7);
    // Keeps the compiler from finding that all chains are one.
    asm volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5), "+x"(s6), "+x"(s7));
  }
  return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
}

template <typename V>
int64_t f32_peak_loop(int64_t rounds) {
  const typename V::Float factor = V::broadcast(0.5f);
  const typename V::Float term = V::broadcast(1.0f);
  auto sum = run_chains(V::zero(), rounds, [&](auto x) { return V::fma(x, factor, term); });
  asm volatile("" : : "x"(sum));
  return rounds * 8 * V::kWidth * 2;
}

}  // namespace
}  // namespace fettle::x86
