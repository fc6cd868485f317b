// Kernels for AMX tiles (int8 and bf16); the rest is vnni.
// Contracts are in kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/roofline.h"

namespace fettle::amx {

bool supported(const CpuFeatures& features);
// May be called only where the set is supported.
KernelTable table();
const PeakLoops& peaks();

void matmul_bf16(const Matmul& product, ThreadPool& pool);
void attention_bf16(const RaggedAttention& args, int64_t begin, int64_t end);
void attention_rows_bf16(const AttentionRows& args, int64_t begin, int64_t end);
std::unique_ptr<PackedLinear> pack_bf16(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_sparse_int8(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_int4(const Int4Weights& weights);
std::unique_ptr<PackedLinear> pack_int4_bf16(const Int4Weights& weights);

}  // namespace fettle::amx
