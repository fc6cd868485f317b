// Kernels for AVX2 with FMA and F16C.
// Contracts are in kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/roofline.h"

namespace fettle::avx2 {

bool supported(const CpuFeatures& features);
// May be called only where the set is supported.
KernelTable table();
const PeakLoops& peaks();

// The kernels of training.inl.h.
void install_training(KernelTable& table);
// Two of them by name, for the packed linears.
void activate(Activation kind, const float* x, float* y, int64_t n);
void add(const float* a, const float* b, float* y, int64_t n);

std::unique_ptr<PackedLinear> pack_f32(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_bf16(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_sparse_int8(const LinearWeights& weights);
void gather_int8(const int8_t* table, const float* scales, const int32_t* ids, int64_t rows, int64_t width, float* y);

}  // namespace fettle::avx2
