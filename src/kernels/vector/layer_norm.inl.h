// Layer normalization and its gradient, for any vector type.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/scratch.h"
#include "kernels/vector/lanes.h"

namespace fettle::vector {
namespace {

// Ranges of fewer elements are likely to be in the first-level cache.
constexpr int64_t kWorthFetching = 12288;

// Whether rows after this one are left that reach beyond what a row fetches ahead.
inline bool has_rows_to_fetch(int64_t row, int64_t row_end, int64_t width) {
  return (row_end - row - 1) * width >= kFetchAhead;
}

template <typename V, bool fetch>
inline void layer_norm_row(const LayerNorm& args, int64_t row) {
  using Float = typename V::Float;
  const auto plus = [](Float a, Float b) { return a + b; };
  const float* x = args.x + row * args.width;
  const float* residual = args.residual != nullptr ? args.residual + row * args.width : nullptr;
  float* y = args.y + row * args.width;
  const Float total = reduce_vectors<V>(
      args.width, V::zero(),
      [&](int64_t i, auto lanes) {
        if constexpr (fetch) {
          prefetch_near(x + i + kFetchAhead);
          if (residual != nullptr) prefetch_near(residual + i + kFetchAhead);
          prefetch_to_write(y + i + kFetchAhead);
        }
        Float value = V::load(x + i, lanes);
        if (residual != nullptr) value = value + V::load(residual + i, lanes);
        V::store(y + i, value, lanes);
        return value;
      },
      plus);
  const float mean = V::sum(total) / static_cast<float>(args.width);
  const Float means = V::broadcast(mean);
  const Float squares = reduce_vectors<V>(
      args.width, V::zero(),
      [&](int64_t i, auto lanes) {
        const Float difference = V::keep(V::load(y + i, lanes) - means, V::zero(), lanes);
        return difference * difference;
      },
      plus);
  const float rstd = 1.0f / std::sqrt(V::sum(squares) / static_cast<float>(args.width) + args.eps);
  const Float rstds = V::broadcast(rstd);
  for_each_vector<V>(args.width, [&](int64_t i, auto lanes) {
    const Float normalized = (V::load(y + i, lanes) - means) * rstds;
    V::store(y + i, V::fma(normalized, V::load(args.gamma + i, lanes), V::load(args.beta + i, lanes)), lanes);
  });
  if (args.mean != nullptr) args.mean[row] = mean;
  if (args.rstd != nullptr) args.rstd[row] = rstd;
}

template <typename V>
void layer_norm(const LayerNorm& args, int64_t row_begin, int64_t row_end) {
  int64_t row = row_begin;
  const int64_t fetch_end = (row_end - row_begin) * args.width > kWorthFetching ? row_end : row_begin;
  for (; has_rows_to_fetch(row, fetch_end, args.width); ++row) layer_norm_row<V, true>(args, row);
  for (; row < row_end; ++row) layer_norm_row<V, false>(args, row);
}

// d_gamma and d_beta [width] gain this row's share.
template <typename V, bool fetch>
inline void layer_norm_grad_row(const LayerNormGrad& args, int64_t row, float* d_gamma, float* d_beta) {
  using Float = typename V::Float;
  const float* x = args.x + row * args.width;
  const float* d_y = args.d_y + row * args.width;
  float* d_x = args.d_x + row * args.width;
  const Float mean = V::broadcast(args.mean[row]);
  const Float rstd = V::broadcast(args.rstd[row]);
  Float sum = V::zero();       // Σ d_y γ
  Float dot_norm = V::zero();  // Σ d_y γ x̂
  for_each_vector<V>(args.width, [&](int64_t i, auto lanes) {
    if constexpr (fetch) {
      prefetch_near(x + i + kFetchAhead);
      prefetch_near(d_y + i + kFetchAhead);
      prefetch_to_write(d_x + i + kFetchAhead);
    }
    const Float gradient = V::load(d_y + i, lanes);
    const Float normalized = (V::load(x + i, lanes) - mean) * rstd;
    const Float scaled = gradient * V::load(args.gamma + i, lanes);
    sum = sum + V::keep(scaled, V::zero(), lanes);
    dot_norm = dot_norm + V::keep(scaled * normalized, V::zero(), lanes);
    V::store(d_gamma + i, V::fma(gradient, normalized, V::load(d_gamma + i, lanes)), lanes);
    V::store(d_beta + i, V::load(d_beta + i, lanes) + gradient, lanes);
  });
  const float width = static_cast<float>(args.width);
  const Float mean_scaled = V::broadcast(V::sum(sum) / width);
  const Float mean_dot = V::broadcast(V::sum(dot_norm) / width);
  for_each_vector<V>(args.width, [&](int64_t i, auto lanes) {
    const Float normalized = (V::load(x + i, lanes) - mean) * rstd;
    const Float scaled = V::load(d_y + i, lanes) * V::load(args.gamma + i, lanes);
    V::store(d_x + i, V::fnma(normalized, mean_dot, scaled - mean_scaled) * rstd, lanes);
  });
}

// Blocks of rows make partial sums of d_gamma and d_beta, which are then added in order.
template <typename V>
void layer_norm_grad(const LayerNormGrad& args, ThreadPool& pool) {
  constexpr int64_t kRowsPerBlock = 32;
  const int64_t width = args.width;
  const int64_t n_blocks = (args.rows + kRowsPerBlock - 1) / kRowsPerBlock;
  float* partial = thread_scratch_of<float>(ScratchUse::kPartialSums, static_cast<size_t>(n_blocks * 2 * width));
  pool.parallel_ranges(args.rows, kRowsPerBlock, [&](int64_t begin, int64_t end, int) {
    float* d_gamma = partial + begin / kRowsPerBlock * 2 * width;
    for_each_vector<V>(2 * width, [&](int64_t i, auto lanes) { V::store(d_gamma + i, V::zero(), lanes); });
    int64_t row = begin;
    for (; has_rows_to_fetch(row, end, width); ++row) layer_norm_grad_row<V, true>(args, row, d_gamma, d_gamma + width);
    for (; row < end; ++row) layer_norm_grad_row<V, false>(args, row, d_gamma, d_gamma + width);
  });
  const auto add_up = [&](const float* first, float* out) {
    if (out == nullptr) return;
    for_each_vector<V>(width, [&](int64_t i, auto lanes) {
      typename V::Float sum = V::zero();
      for (int64_t block = 0; block < n_blocks; ++block) sum = sum + V::load(first + block * 2 * width + i, lanes);
      V::store(out + i, sum, lanes);
    });
  };
  add_up(partial, args.d_gamma);
  add_up(partial + width, args.d_beta);
}

}  // namespace
}  // namespace fettle::vector
