// Register blocks of matrix products, for any vector type.
#pragma once

#include <cstdint>

#include "kernels/vector/lanes.h"

namespace fettle::vector {
namespace {

// Element (i, l) of the left operand is a[i · a_row + l · a_column]; row l of the right one is b + l · b_row.
struct BlockOperands {
  const float* a;
  int64_t a_row;
  int64_t a_column;
  const float* b;
  int64_t b_row;
};

// sums[i][v] = Σ_l a(i, l) · vector v of b's row l; `last` are the lanes of the last vector.
template <typename V, int rows, int vectors, typename Lanes>
inline void multiply_block(const BlockOperands& x, int64_t k, Lanes last, typename V::Float (&sums)[rows][vectors]) {
  using Float = typename V::Float;
#pragma GCC unroll 16
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < vectors; ++v) sums[i][v] = V::zero();
  }
  // Four rows share a pointer, so that their addresses need few registers.
  constexpr int kGroups = (rows + 3) / 4;
  const float* a[kGroups];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) a[g] = x.a + 4 * g * x.a_row;
  const float* b = x.b;
  for (int64_t l = 0; l < k; ++l) {
    Float right[vectors];
    if constexpr (vectors == 2) right[0] = V::load(b);
    right[vectors - 1] = V::load(b + (vectors - 1) * V::kWidth, last);
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
      const Float left = V::broadcast(a[i / 4][i % 4 * x.a_row]);
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) sums[i][v] = V::fma(left, right[v], sums[i][v]);
    }
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) a[g] += x.a_column;
    b += x.b_row;
  }
}

// dst [columns, dst_stride] = transpose of src [rows, columns]. Rows of dst are written in whole vectors: zeros beyond
// `rows`.
template <typename V>
inline void transpose_into(const float* src, int64_t src_stride, int64_t rows, int64_t columns, float* dst,
                           int64_t dst_stride) {
  constexpr int kWidth = static_cast<int>(V::kWidth);
  for (int64_t r = 0; r < rows; r += kWidth) {
    const int64_t n_rows = rows - r < kWidth ? rows - r : kWidth;
    for_each_vector<V>(columns, [&](int64_t c, auto lanes) {
      typename V::Float block[kWidth];
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) {
        block[i] = i < n_rows ? V::load(src + (r + i) * src_stride + c, lanes) : V::zero();
      }
      V::transpose(block);
      const int64_t n_columns = columns - c < kWidth ? columns - c : kWidth;
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) {
        if (i < n_columns) V::store(dst + (c + i) * dst_stride + r, block[i]);
      }
    });
  }
}

}  // namespace
}  // namespace fettle::vector
