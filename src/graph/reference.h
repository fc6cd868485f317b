// What the ops' reference evaluations share. Everything is computed in double and rounded once, when it is stored.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "graph/op.h"

namespace fettle {

// Elements of an f32 or f64 tensor as double, and back.
std::vector<double> load_values(const Tensor& tensor);
void store_values(std::span<const double> values, Tensor& tensor);
double load_value(const Tensor& tensor, int64_t index);

// c [m, n] = op(a) [m, k] · op(b) [k, n]; a is [k, m] when transposed, b is [n, k] when transposed.
struct MatmulShape {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  bool transpose_a = false;
  bool transpose_b = false;
};
std::vector<double> matmul_values(std::span<const double> a, std::span<const double> b, const MatmulShape& shape);

// The same plus bias [n], which may be empty.
std::vector<double> linear_values(std::span<const double> x, std::span<const double> weight,
                                  std::span<const double> bias, const MatmulShape& shape);

// Log-softmax of one row, divided by `temperature` first.
std::vector<double> log_softmax_row(std::span<const double> row, double temperature = 1);

// "none", "relu", "tanh", "gelu" (x Φ(x) by erf), "gelu_tanh": the value and the derivative at x.
double activation_value(std::string_view kind, double x);
double activation_slope(std::string_view kind, double x);

// Error kBadInput unless offsets rise from 0 to `n_tokens`.
std::span<const int32_t> checked_offsets(const Tensor& offsets, int64_t n_tokens, std::string_view where);
// Error kBadInput unless id is in [0, n).
int64_t checked_id(int32_t id, int64_t n, std::string_view where);

// Ragged attention, forward. Columns of q, k and v begin at the given pointers, rows are `stride` apart.
struct AttentionShape {
  int64_t n_heads = 0;
  int64_t head_dim = 0;
  double scale = 1;
  double dropout = 0;
  uint64_t stream = 0;
  uint64_t seed = 0;

  static AttentionShape of(const EvalContext& context);
  int64_t width() const { return n_heads * head_dim; }
  // What dropout multiplies probability `index` by.
  double dropout_factor(int64_t index) const;
};
struct AttentionInputs {
  const double* q = nullptr;
  const double* k = nullptr;
  const double* v = nullptr;
  int64_t stride = 0;
  std::span<const int32_t> offsets;
};
struct AttentionResult {
  std::vector<double> out;            // [tokens, n_heads · head_dim]
  std::vector<double> probabilities;  // sequence by sequence [n_heads, length, length], before dropout
};
AttentionResult attention_values(const AttentionShape& shape, const AttentionInputs& inputs);
// Attention of some queries only: q [rows, width], kv [tokens, 2 · width] with keys before values; query r is that of
// token rows[r]. Rows and offsets are checked. Returns [rows, width].
std::vector<double> attention_rows_values(const AttentionShape& shape, std::span<const double> q,
                                          std::span<const double> kv, std::span<const int32_t> rows,
                                          std::span<const int32_t> offsets);

// Mean and 1 / sqrt(variance + eps) of each row.
struct Moments {
  std::vector<double> mean;
  std::vector<double> rstd;
};
// Layer normalization of the rows of y [rows, width], in place; gamma and beta [width].
Moments layer_norm_values(std::span<double> y, std::span<const double> gamma, std::span<const double> beta, double eps);

// Flops of attention: from the symbol `pairs` where it is bound, else as if all sequences had the same length.
double attention_flops(const NodeView& view, const SymbolBindings& bindings, double flops_per_pair);

}  // namespace fettle
