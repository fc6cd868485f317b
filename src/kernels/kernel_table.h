// The kernels of one instruction set. A table is complete: what an instruction set does not improve points to the next
// lower table's function. Tables are chosen once at start (kernels/dispatch.h).
//
// All matrices are row-major f32 unless said otherwise. Kernels that take a ThreadPool cut their work by size alone, so
// results do not depend on the number of threads; the others are serial and work on the range they are given. Pointers
// need no alignment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/cpu.h"
#include "base/philox.h"  // dropout_keep
#include "base/thread_pool.h"

namespace fettle {

enum class Activation : uint8_t { kNone, kRelu, kTanh, kGelu /* erf */, kGeluTanh };

// C[m, n] = op(A)[m, k] · op(B)[k, n] + bias[n] (+ C when accumulate).
struct Matmul {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const float* a = nullptr;  // [m, k], or [k, m] when transpose_a; row stride lda
  int64_t lda = 0;
  bool transpose_a = false;
  const float* b = nullptr;  // [k, n], or [n, k] when transpose_b; row stride ldb
  int64_t ldb = 0;
  bool transpose_b = false;
  float* c = nullptr;  // [m, n], row stride ldc
  int64_t ldc = 0;
  bool accumulate = false;
  const float* bias = nullptr;       // [n] or null
  double* sum_of_squares = nullptr;  // null, or receives Σ C², summed in a fixed order
};

// Rows that products pass on to each other: f32, or bf16 where both sides take it. Strides count elements.
struct LinearRows {
  const void* x = nullptr;  // [rows, in_features]
  int64_t ldx = 0;
  bool x_is_bf16 = false;
  int64_t rows = 0;
  void* y = nullptr;  // [rows, out_features]; may not overlap x
  int64_t ldy = 0;
  bool y_is_bf16 = false;
  Activation activation = Activation::kNone;
};

// A product's input rows as its kernel wants them.
struct PreparedRows {
  std::shared_ptr<std::byte> data;
  int64_t size_bytes = 0;
  std::vector<float> scales;

  void reserve(int64_t n_bytes, int64_t n_rows);
};

// What PackedLinear::image() gave, kept somewhere: the packing function that made it takes it back.
struct PackedImage {
  std::span<const std::byte> bytes;   // beginning at a multiple of 64
  std::shared_ptr<const void> owner;  // keeps them
};

// Weights of y = activation(x · Wᵀ + bias), packed for one instruction set. Immutable; owns its memory or keeps the
// owner of its image.
class PackedLinear {
 public:
  virtual ~PackedLinear() = default;
  // x [rows, in_features], row stride ldx; y [rows, out_features], row stride ldy; y may not overlap x.
  // residual (null, or [rows, out_features] with stride ldy) is added after the activation.
  virtual void run(const float* x, int64_t ldx, int64_t rows, float* y, int64_t ldy, Activation activation,
                   const float* residual, ThreadPool& pool) const = 0;
  // Whether run_rows is there, for bf16 as well as f32 on both sides. bf16 outputs are f32 ones rounded to nearest
  // even.
  virtual bool takes_bf16() const { return false; }
  virtual void run_rows(const LinearRows& rows, ThreadPool& pool) const;
  // Where prepares_rows(), run_rows can be had in steps, so that whoever writes x prepares it while it is in the cache:
  // begin_rows makes room, prepare_rows prepares rows [begin, end) of an f32 x (on any thread, each row once), and
  // run_prepared does not read x any more. The bits are those of run_rows.
  virtual bool prepares_rows() const { return false; }
  virtual void begin_rows(int64_t n_rows, PreparedRows& prepared) const;
  virtual void prepare_rows(const float* x, int64_t ldx, int64_t begin, int64_t end, PreparedRows& prepared) const;
  virtual void run_prepared(const PreparedRows& prepared, const LinearRows& rows, ThreadPool& pool) const;
  virtual int64_t size_bytes() const = 0;
  // The weights that thread `part` of n_parts begins a product with, so that it can fetch them before.
  virtual FetchAhead first_weights(int /*part*/, int /*n_parts*/) const { return {}; }
  // All that it consists of. Its layout is that of the table and version that made it (kernels/packing.h).
  virtual std::span<const std::byte> image() const = 0;
};

// Plain weights as they are stored; bias may be null. Pointers need to live only during packing.
struct LinearWeights {
  int64_t out_features = 0;
  int64_t in_features = 0;
  const void* weight = nullptr;        // [out_features, in_features], element type by the packing function
  const float* scales = nullptr;       // [out_features], integer weights only
  const float* bias = nullptr;         // [out_features]
  const PackedImage* image = nullptr;  // instead of these: kBadInput when it is not of weights of this size
  // pack_int8 and pack_sparse_int8: the scale of all inputs, or 0: each row takes its own. Not part of an image.
  float input_scale = 0;
};

// Weights of four bits: value = scale of its group · q, q in [-8, 7]. Pointers need to live only during packing.
struct Int4Weights {
  int64_t out_features = 0;
  int64_t in_features = 0;
  int64_t group_size = 32;             // inputs that share a scale; a positive multiple of 8
  const uint8_t* values = nullptr;     // [out_features, ceil(in_features / 2)], two's complement, the lower half first
  const float* scales = nullptr;       // [out_features, ceil(in_features / group_size)], not negative
  const float* bias = nullptr;         // [out_features], may be null
  const PackedImage* image = nullptr;  // as in LinearWeights
  float input_scale = 0;               // pack_int4 only; as in LinearWeights
};

// Self-attention within each sequence of a ragged batch: out = dropout(softmax(scale · q kᵀ)) v, head by head.
struct RaggedAttention {
  const float* q = nullptr;  // [tokens, n_heads · head_dim], row stride `stride`; k and v alike
  const float* k = nullptr;
  const float* v = nullptr;
  const uint16_t* q_bf16 = nullptr;  // these in place of q, k and v: attention_bf16 of a table that takes_bf16_rows
  const uint16_t* k_bf16 = nullptr;
  const uint16_t* v_bf16 = nullptr;
  int64_t stride = 0;
  const int32_t* offsets = nullptr;  // [batch + 1]
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  float scale = 1;
  float* out = nullptr;  // [tokens, n_heads · head_dim], row stride out_stride
  int64_t out_stride = 0;
  // Training only: softmax before dropout, sequence after sequence, each [n_heads, length, length]; sequence s begins
  // at n_heads · pair_offsets[s] where pair_offsets[s] = Σ_{r<s} length_r². Null when not wanted.
  float* probabilities = nullptr;
  const int64_t* pair_offsets = nullptr;  // [batch + 1], needed with probabilities
  float dropout = 0;                      // kept values are divided by 1 - dropout
  uint64_t seed = 0;  // dropout of probability i (its index in `probabilities`) is dropout_keep(seed, stream, i)
  uint64_t stream = 0;
};

// The same for some queries only, which are given by themselves. A query's result has the same bits as in `attention`.
struct AttentionRows {
  const float* q = nullptr;  // [rows, n_heads · head_dim], row stride q_stride
  int64_t q_stride = 0;
  const float* k = nullptr;  // [tokens, n_heads · head_dim], row stride `stride`; v alike
  const float* v = nullptr;
  int64_t stride = 0;
  const int32_t* offsets = nullptr;    // [batch + 1]
  const int32_t* sequences = nullptr;  // [rows]: the sequence in which each query attends; it has tokens
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  float scale = 1;
  float* out = nullptr;  // [rows, n_heads · head_dim], row stride out_stride
  int64_t out_stride = 0;
};

struct RaggedAttentionGrad {
  RaggedAttention forward;       // out is not read; probabilities are
  const float* d_out = nullptr;  // [tokens, n_heads · head_dim], row stride forward.out_stride
  float* d_q = nullptr;          // like q, same stride; written, not accumulated
  float* d_k = nullptr;
  float* d_v = nullptr;
};

// Rows of width elements. y = (x - mean) · rstd · gamma + beta; mean and rstd [rows] may be null.
struct LayerNorm {
  const float* x = nullptr;         // [rows, width]
  const float* residual = nullptr;  // [rows, width] added to x first, or null
  const float* gamma = nullptr;     // [width]
  const float* beta = nullptr;      // [width]
  float eps = 1e-12f;
  int64_t width = 0;
  float* y = nullptr;  // [rows, width]; may be x
  float* mean = nullptr;
  float* rstd = nullptr;
};

struct LayerNormGrad {
  const float* x = nullptr;  // the normalized input (x + residual of the forward pass)
  const float* d_y = nullptr;
  const float* gamma = nullptr;
  const float* mean = nullptr;
  const float* rstd = nullptr;
  int64_t rows = 0;
  int64_t width = 0;
  float* d_x = nullptr;      // written
  float* d_gamma = nullptr;  // [width], written; null to skip
  float* d_beta = nullptr;
};

// One step of AdamW (Loshchilov & Hutter 2019) on a range of one parameter:
// m = β1 m + (1-β1) g;  v = β2 v + (1-β2) g²;  w -= lr (m / bias1 / (sqrt(v / bias2) + eps) + weight_decay w), g scaled
// by grad_scale first.
struct AdamwStep {
  float* weight = nullptr;
  const float* grad = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  float lr = 0;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float eps = 1e-8f;
  float weight_decay = 0;
  float bias1 = 1;  // 1 - β1^t
  float bias2 = 1;  // 1 - β2^t
  float grad_scale = 1;
};

// Part of one parameter with the optimizer's state.
struct AdamwRow {
  float* weight = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  int64_t n = 0;
};

struct KernelTable {
  std::string_view name;  // "reference", "avx2", "avx512", "vnni", "amx", "neon", "neon_dot"
  bool (*supported)(const CpuFeatures&);
  // Share of quads with a number up to which pack_sparse_int8 is faster than pack_int8 at 12 and at 128 rows of a
  // BERT-base layer (bench/sparse_products); 0: never.
  double sparse_below = 0;

  // General products, for training. matmul_bf16 rounds both operands to bf16 and accumulates in f32.
  void (*matmul_f32)(const Matmul&, ThreadPool&);
  void (*matmul_bf16)(const Matmul&, ThreadPool&);

  // Weights packed once, for inference. weight is f32, bf16 (uint16_t) and int8. The int8 product quantizes each row of
  // x to int8 by its absmax (scale = absmax / 127, ties to even, [-127, 127]) and accumulates in int32: the same bits
  // in every table.
  std::unique_ptr<PackedLinear> (*pack_f32)(const LinearWeights&);
  std::unique_ptr<PackedLinear> (*pack_bf16)(const LinearWeights&);
  std::unique_ptr<PackedLinear> (*pack_int8)(const LinearWeights&);
  // The same with few weights that are not zero: stored and multiplied are only the blocks of four neighbouring inputs
  // of an output that have one.
  std::unique_ptr<PackedLinear> (*pack_sparse_int8)(const LinearWeights&);
  // Four-bit weights. With inputs of 8 bits (W4A8) each group's scale is rounded to one of 127 multiples of the largest
  // of its row, and the product is pack_int8's with the weights (q · multiple + 4) / 8, rounded down. With inputs of 16
  // bits (W4A16) the weights are rounded to bf16, and the product is pack_bf16's.
  std::unique_ptr<PackedLinear> (*pack_int4)(const Int4Weights&);
  std::unique_ptr<PackedLinear> (*pack_int4_bf16)(const Int4Weights&);

  // Sequences [begin, end).
  void (*attention)(const RaggedAttention&, int64_t begin, int64_t end);
  // For models whose weights are coarser than f32: may round the operands of both products to bf16 where that is
  // faster. Inference only (no probabilities, no dropout); scale > 0.
  void (*attention_bf16)(const RaggedAttention&, int64_t begin, int64_t end);
  bool attention_takes_bf16_rows;  // attention_bf16 takes q_bf16, k_bf16 and v_bf16; with the bits of f32 rows
  void (*attention_grad)(const RaggedAttentionGrad&, int64_t begin, int64_t end);
  // Queries [begin, end).
  void (*attention_rows)(const AttentionRows&, int64_t begin, int64_t end);
  // The bits of attention_bf16.
  void (*attention_rows_bf16)(const AttentionRows&, int64_t begin, int64_t end);

  void (*layer_norm)(const LayerNorm&, int64_t row_begin, int64_t row_end);
  void (*layer_norm_grad)(const LayerNormGrad&, ThreadPool&);

  // y[i] = activation(x[i]); y may be x. d_x[i] = d_y[i] · activation'(x[i]); d_x may be d_y.
  void (*activate)(Activation, const float* x, float* y, int64_t n);
  void (*activate_grad)(Activation, const float* x, const float* d_y, float* d_x, int64_t n);

  // In place, each row of `width`: softmax; log_softmax.
  void (*softmax)(float* x, int64_t rows, int64_t width);
  void (*log_softmax)(float* x, int64_t rows, int64_t width);

  void (*add)(const float* a, const float* b, float* y, int64_t n);
  void (*scale)(const float* x, float factor, float* y, int64_t n);
  // y[r, :] = x[r, :] + bias
  void (*add_bias)(const float* x, const float* bias, float* y, int64_t rows, int64_t width);
  // y[c] = Σ_r x[r, c], columns [begin, end), rows in order; row stride ldx.
  void (*sum_rows)(const float* x, int64_t rows, int64_t ldx, float* y, int64_t begin, int64_t end);
  // y[i] = x[i] · dropout_keep(seed, stream, first + i) / (1 - p)
  void (*dropout)(const float* x, float* y, int64_t n, float p, uint64_t seed, uint64_t stream, uint64_t first);
  // Σ x[i]² in double, fixed order.
  double (*sum_of_squares)(const float* x, int64_t n);
  void (*adamw)(const AdamwStep&, int64_t begin, int64_t end);
  // n weights to which so many steps come with a gradient of zero, oldest first: what adamw would do, to the bit, in
  // one visit. Of the steps only the numbers count; weight, m and v stand for those of `row`.
  void (*adamw_idle)(const AdamwRow& row, const AdamwStep* steps, int64_t n_steps);

  // y[r, :] = table[ids[r], :]; row stride of y is width.
  void (*gather)(const float* table, const int32_t* ids, int64_t rows, int64_t width, float* y);
  // The same from int8 rows with one scale each.
  void (*gather_int8)(const int8_t* table, const float* scales, const int32_t* ids, int64_t rows, int64_t width,
                      float* y);
};

}  // namespace fettle
