// What the machine can do at best: the two limits (bytes and operations per second) that a kernel's time is compared
// with. Williams, Waterman & Patterson, "Roofline", 2009.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace fettle {

// Measured now, on all threads of the pool together; other load on the machine lowers it.
struct Roofline {
  double bandwidth_gb_s = 0;  // reading from memory, in several streams on each thread
  double peak_f32_gflops = 0;
  double peak_bf16_gflops = 0;
  double peak_int8_gops = 0;
};

// Takes about 0.3 s and 128 MiB of memory. The peaks are those of the table's instruction set.
Roofline measure_roofline(const KernelTable& table, ThreadPool& pool);

// The peaks alone (bandwidth_gb_s is 0), each measured for about `ms_each`.
Roofline measure_peaks(const KernelTable& table, ThreadPool& pool, double ms_each);

// Loops of an instruction set's multiply-add on registers alone: `rounds` rounds; returns how many operations (a
// multiply-add is two) that was.
struct PeakLoops {
  int64_t (*f32)(int64_t rounds);
  int64_t (*bf16)(int64_t rounds);
  int64_t (*int8)(int64_t rounds);
};

}  // namespace fettle
