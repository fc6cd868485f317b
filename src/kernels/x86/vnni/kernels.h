// Kernels for AVX-512 VNNI; the rest is avx512.
// Contracts are in kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/roofline.h"

namespace fettle::vnni {

bool supported(const CpuFeatures& features);
// May be called only where the set is supported.
KernelTable table();
const PeakLoops& peaks();

std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_sparse_int8(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_int4(const Int4Weights& weights);

}  // namespace fettle::vnni
