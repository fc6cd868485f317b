// Every kernel in plain loops: what the other tables are compared with, and the fallback where none of them runs.
// Contracts are in kernels/kernel_table.h.
#pragma once

#include "kernels/kernel_table.h"

namespace fettle::reference {

KernelTable table();

void matmul_f32(const Matmul& product, ThreadPool& pool);
void matmul_bf16(const Matmul& product, ThreadPool& pool);
std::unique_ptr<PackedLinear> pack_f32(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_bf16(const LinearWeights& weights);
std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights);
void attention(const RaggedAttention& args, int64_t begin, int64_t end);
void attention_grad(const RaggedAttentionGrad& args, int64_t begin, int64_t end);
void attention_rows(const AttentionRows& args, int64_t begin, int64_t end);
void layer_norm(const LayerNorm& args, int64_t row_begin, int64_t row_end);
void layer_norm_grad(const LayerNormGrad& args, ThreadPool& pool);
void activate(Activation kind, const float* x, float* y, int64_t n);
void activate_grad(Activation kind, const float* x, const float* d_y, float* d_x, int64_t n);
void softmax(float* x, int64_t rows, int64_t width);
void log_softmax(float* x, int64_t rows, int64_t width);
void add(const float* a, const float* b, float* y, int64_t n);
void scale(const float* x, float factor, float* y, int64_t n);
void add_bias(const float* x, const float* bias, float* y, int64_t rows, int64_t width);
void sum_rows(const float* x, int64_t rows, int64_t ldx, float* y, int64_t begin, int64_t end);
void dropout(const float* x, float* y, int64_t n, float p, uint64_t seed, uint64_t stream, uint64_t first);
double sum_of_squares(const float* x, int64_t n);
void adamw(const AdamwStep& step, int64_t begin, int64_t end);
void adamw_idle(const AdamwRow& row, const AdamwStep* steps, int64_t n_steps);
void gather(const float* table, const int32_t* ids, int64_t rows, int64_t width, float* y);
void gather_int8(const int8_t* table, const float* scales, const int32_t* ids, int64_t rows, int64_t width, float* y);

}  // namespace fettle::reference
