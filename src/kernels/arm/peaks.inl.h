// Loops of multiply-adds on registers, for measuring peaks. As many chains as the largest cores have in flight: four
// units, each with a latency of four.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace fettle::arm {
namespace {

constexpr int kChains = 16;

// Sixteen chains of step(sum). Step keeps its operands in registers and makes what it can of the sum.
template <typename Register, typename Step>
inline void run_chains(Register start, int64_t rounds, Step step) {
  Register sums[kChains];
#pragma GCC unroll 16
  for (Register& sum : sums) sum = start;
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (Register& sum : sums) sum = step(sum);
      // Keeps the compiler from finding that all chains are one.
#pragma GCC unroll 16
    for (Register& sum : sums) asm volatile("" : "+w"(sum));
  }
}

}  // namespace
}  // namespace fettle::arm
