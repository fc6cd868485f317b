// Products of matrices that fit the first-level cache, for any vector type.
#pragma once

#include <cstdint>

#include "kernels/vector/blocks.inl.h"

namespace fettle::vector {
namespace {

// c [m, n], row stride c_row = factor · a · b.
struct SmallProduct {
  BlockOperands operands;
  float* c;
  int64_t c_row;
  int64_t m, n, k;
  float factor = 1;
};

template <typename V, int rows, int vectors, typename Lanes>
inline void small_product_block(const SmallProduct& p, int64_t i, int64_t j, Lanes last) {
  const typename V::Float factor = V::broadcast(p.factor);
  BlockOperands operands = p.operands;
  operands.a += i * operands.a_row;
  operands.b += j;
  // Read before anything is stored: the compiler must assume that stores of vectors change p.
  const int64_t c_row = p.c_row;
  float* c = p.c + i * c_row + j;
  typename V::Float sums[rows][vectors];
  multiply_block<V, rows, vectors>(operands, p.k, last, sums);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    if constexpr (vectors == 2) V::store(c, sums[r][0] * factor);
    V::store(c + (vectors - 1) * V::kWidth, sums[r][vectors - 1] * factor, last);
    c += c_row;
  }
}

// Columns [j, j + vectors · kWidth), of the last vector the first lanes only; rows from i on.
template <typename V, int rows, int vectors, typename Lanes>
inline void small_product_columns(const SmallProduct& p, int64_t i, int64_t j, Lanes last) {
  for (; i + rows <= p.m; i += rows) small_product_block<V, rows, vectors>(p, i, j, last);
  if constexpr (rows > 1) small_product_columns<V, rows / 2, vectors>(p, i, j, last);
}

template <typename V>
inline void multiply(const SmallProduct& p) {
  constexpr int64_t kTwo = 2 * V::kWidth;
  constexpr int kRows = V::kSmallRows;
  int64_t j = 0;
  for (; j + kTwo <= p.n; j += kTwo) small_product_columns<V, kRows, 2>(p, 0, j, AllLanes{});
  const int64_t rest = p.n - j;
  if (rest > V::kWidth) {
    small_product_columns<V, kRows, 2>(p, 0, j, FirstLanes{rest - V::kWidth});
  } else if (rest == V::kWidth) {
    small_product_columns<V, 2 * kRows, 1>(p, 0, j, AllLanes{});
  } else if (rest > 0) {
    small_product_columns<V, 2 * kRows, 1>(p, 0, j, FirstLanes{rest});
  }
}

}  // namespace
}  // namespace fettle::vector
