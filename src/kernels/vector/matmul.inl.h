// General matrix products in f32 on registers of any width; for bf16, with operands rounded while they are packed.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/scratch.h"
#include "kernels/vector/blocks.inl.h"
#include "kernels/vector/elementwise.inl.h"

namespace fettle::vector {
namespace {

// A task makes a block of C from packed blocks of B (in the second-level cache) and panels of A (in the first).
constexpr int64_t kTaskRows = 252;  // a multiple of every vector type's kBlockRows
constexpr int64_t kTaskColumns = 256;
constexpr int64_t kTaskDepth = 256;

inline int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

template <typename V, bool to_bf16>
inline typename V::Float rounded(typename V::Float x) {
  if constexpr (to_bf16) return V::round_to_bf16(x);
  return x;
}

template <typename V, bool to_bf16>
inline void copy_rounded(const float* src, float* dst, int64_t n) {
  for_each_vector<V>(
      n, [&](int64_t i, auto lanes) { V::store(dst + i, rounded<V, to_bf16>(V::load(src + i, lanes)), lanes); });
}

template <typename V>
struct MatmulBlock {
  static constexpr int kRows = V::kBlockRows;
  static constexpr int64_t kColumns = 2 * V::kWidth;

  const Matmul& p;
  int64_t row, column, depth;      // where this block begins
  int64_t rows, columns, n_depth;  // its size
  float* packed_b;                 // panels [n_depth, kColumns]
  float* packed_a;                 // one panel, [kRows, kTaskDepth] or [kTaskDepth, kRows]

  template <bool to_bf16>
  void pack_b() {
    for (int64_t j = 0; j < columns; j += kColumns) {
      float* panel = packed_b + j * n_depth;
      const int64_t n = least(kColumns, columns - j);
      for (int64_t i = 0; i < n_depth * kColumns && n < kColumns; i += V::kWidth) V::store(panel + i, V::zero());
      if (p.transpose_b) {
        transpose_into<V>(p.b + (column + j) * p.ldb + depth, p.ldb, n, n_depth, panel, kColumns);
        if constexpr (to_bf16) copy_rounded<V, true>(panel, panel, n_depth * kColumns);
      } else {
        for (int64_t l = 0; l < n_depth; ++l) {
          copy_rounded<V, to_bf16>(p.b + (depth + l) * p.ldb + column + j, panel + l * kColumns, n);
        }
      }
    }
  }

  // Rows beyond the matrix stay as they were: their sums are not stored.
  template <bool to_bf16>
  BlockOperands pack_a(int64_t i) {
    const int64_t n = least(kRows, rows - i);
    if (p.transpose_a) {
      for (int64_t l = 0; l < n_depth; ++l) {
        copy_rounded<V, to_bf16>(p.a + (depth + l) * p.lda + row + i, packed_a + l * kRows, n);
      }
      return {packed_a, 1, kRows, nullptr, kColumns};
    }
    const float* a = p.a + (row + i) * p.lda + depth;
    for (int64_t r = 0; r < n; ++r) copy_rounded<V, to_bf16>(a + r * p.lda, packed_a + r * kTaskDepth, n_depth);
    return {packed_a, kTaskDepth, 1, nullptr, kColumns};
  }

  void store(typename V::Float (&sums)[kRows][2], int64_t i, int64_t j) const {
    const bool first = depth == 0;
    const bool add_old = !first || p.accumulate;
    const int64_t n_rows = least(kRows, rows - i);
    for (int v = 0; v < 2; ++v) {
      const int64_t left = columns - j - v * V::kWidth;
      if (left <= 0) return;
      const auto store_lanes = [&](auto lanes) {
        const int64_t at = column + j + v * V::kWidth;
        const auto bias = first && p.bias != nullptr ? V::load(p.bias + at, lanes) : V::zero();
        for (int64_t r = 0; r < n_rows; ++r) {
          float* c = p.c + (row + i + r) * p.ldc + at;
          auto value = sums[r][v] + bias;
          if (add_old) value = value + V::load(c, lanes);
          V::store(c, value, lanes);
        }
      };
      if (left >= V::kWidth) {
        store_lanes(AllLanes{});
      } else {
        store_lanes(FirstLanes{left});
      }
    }
  }

  template <bool to_bf16>
  void run() {
    pack_b<to_bf16>();
    for (int64_t i = 0; i < rows; i += kRows) {
      BlockOperands operands = pack_a<to_bf16>(i);
      for (int64_t j = 0; j < columns; j += kColumns) {
        operands.b = packed_b + j * n_depth;
        typename V::Float sums[kRows][2];
        multiply_block<V, kRows, 2>(operands, n_depth, AllLanes{}, sums);
        store(sums, i, j);
      }
    }
  }
};

template <typename V, bool to_bf16>
void matmul_task(const Matmul& p, int64_t row, int64_t column) {
  float* packed_b = thread_scratch_of<float>(ScratchUse::kStrip, kTaskColumns * kTaskDepth);
  alignas(64) float packed_a[V::kBlockRows * kTaskDepth + V::kWidth] = {};
  const int64_t rows = least(kTaskRows, p.m - row);
  const int64_t columns = least(kTaskColumns, p.n - column);
  int64_t depth = 0;
  do {  // once even when there is nothing to sum
    const int64_t n_depth = least(kTaskDepth, p.k - depth);
    MatmulBlock<V>{p, row, column, depth, rows, columns, n_depth, packed_b, packed_a}.template run<to_bf16>();
    depth += kTaskDepth;
  } while (depth < p.k);
}

template <typename V>
double squares_of(const Matmul& p, ThreadPool& pool) {
  constexpr int64_t kRows = 64;
  const int64_t n_tasks = (p.m + kRows - 1) / kRows;
  auto* squares = thread_scratch_of<double>(ScratchUse::kPartialSums, static_cast<size_t>(n_tasks));
  pool.parallel_for(n_tasks, [&](int64_t task, int) {
    squares[task] = 0;
    for (int64_t row = task * kRows; row < least((task + 1) * kRows, p.m); ++row) {
      squares[task] += sum_of_squares<V>(p.c + row * p.ldc, p.n);
    }
  });
  double sum = 0;
  for (int64_t task = 0; task < n_tasks; ++task) sum += squares[task];
  return sum;
}

template <typename V, bool to_bf16>
void matmul(const Matmul& p, ThreadPool& pool) {
  if (p.sum_of_squares != nullptr) *p.sum_of_squares = 0;
  if (p.m <= 0 || p.n <= 0) return;
  const int64_t tasks_down = (p.m + kTaskRows - 1) / kTaskRows;
  const int64_t tasks_across = (p.n + kTaskColumns - 1) / kTaskColumns;
  pool.parallel_for(tasks_down * tasks_across, [&](int64_t task, int) {
    matmul_task<V, to_bf16>(p, task % tasks_down * kTaskRows, task / tasks_down * kTaskColumns);
  });
  if (p.sum_of_squares != nullptr) *p.sum_of_squares = squares_of<V>(p, pool);
}

}  // namespace
}  // namespace fettle::vector
