// Kernels for NEON with dot products of bytes (FEAT_DotProd, Armv8.2); the rest is neon.
// Contracts are in kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/roofline.h"

namespace fettle::neon_dot {

bool supported(const CpuFeatures& features);
// May be called only where the set is supported.
KernelTable table();
const PeakLoops& peaks();

std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights);

}  // namespace fettle::neon_dot
