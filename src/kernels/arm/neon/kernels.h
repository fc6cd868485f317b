// Kernels for NEON, which every aarch64 processor has.
// Contracts are in kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/roofline.h"

namespace fettle::neon {

bool supported(const CpuFeatures& features);
KernelTable table();
const PeakLoops& peaks();

// The kernels of training.inl.h.
void install_training(KernelTable& table);

std::unique_ptr<PackedLinear> pack_f32(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_bf16(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights);
void gather_int8(const int8_t* table, const float* scales, const int32_t* ids, int64_t rows, int64_t width, float* y);

}  // namespace fettle::neon
