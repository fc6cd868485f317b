// Ragged self-attention and its gradient, for any vector type. Every product of a head is a small matrix product whose
// right operand has contiguous rows; keys and values are transposed into working memory where that needs it.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/scratch.h"
#include "kernels/x86/blocks.inl.h"
#include "kernels/x86/dropout.inl.h"
#include "kernels/x86/softmax.inl.h"

namespace fettle::x86 {
namespace {

// c [m, n], row stride c_row = factor · a · b.
struct SmallProduct {
  BlockOperands operands;
  float* c;
  int64_t c_row;
  int64_t m, n, k;
  float factor = 1;
};

template <typename V, int rows>
inline void small_product_rows(const SmallProduct& p, int64_t i) {
  const typename V::Float factor = V::broadcast(p.factor);
  const auto columns = [&]<int vectors>(int64_t j, auto last) {
    BlockOperands operands = p.operands;
    operands.a += i * operands.a_row;
    operands.b += j;
    typename V::Float sums[rows][vectors];
    multiply_block<V, rows, vectors>(operands, p.k, last, sums);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      float* c = p.c + (i + r) * p.c_row + j;
      if constexpr (vectors == 2) V::store(c, sums[r][0] * factor);
      V::store(c + (vectors - 1) * V::kWidth, sums[r][vectors - 1] * factor, last);
    }
  };
  constexpr int64_t kTwo = 2 * V::kWidth;
  int64_t j = 0;
  for (; j + kTwo <= p.n; j += kTwo) columns.template operator()<2>(j, AllLanes{});
  const int64_t rest = p.n - j;
  if (rest > V::kWidth) {
    columns.template operator()<2>(j, FirstLanes{rest - V::kWidth});
  } else if (rest == V::kWidth) {
    columns.template operator()<1>(j, AllLanes{});
  } else if (rest > 0) {
    columns.template operator()<1>(j, FirstLanes{rest});
  }
}

template <typename V>
inline void multiply(const SmallProduct& p) {
  constexpr int kRows = V::kSmallRows;
  int64_t i = 0;
  for (; i + kRows <= p.m; i += kRows) small_product_rows<V, kRows>(p, i);
  if constexpr (kRows > 4) {
    for (; i + 4 <= p.m; i += 4) small_product_rows<V, 4>(p, i);
  }
  for (; i + 2 <= p.m; i += 2) small_product_rows<V, 2>(p, i);
  for (; i < p.m; ++i) small_product_rows<V, 1>(p, i);
}

template <typename V>
inline int64_t padded(int64_t n) {
  return (n + V::kWidth - 1) / V::kWidth * V::kWidth;
}

// One head of one sequence.
struct AttentionHead {
  int64_t at;      // first element in q, k, v
  int64_t out_at;  // and in out
  int64_t length;
  int64_t pair_first;  // first probability
};

template <typename Function>
inline void for_each_head(const RaggedAttention& args, int64_t begin, int64_t end, Function function) {
  for (int64_t s = begin; s < end; ++s) {
    const int64_t first = args.offsets[s];
    const int64_t length = args.offsets[s + 1] - first;
    if (length == 0) continue;  // the operands may be null
    for (int64_t h = 0; h < args.n_heads; ++h) {
      const int64_t column = h * args.head_dim;
      const int64_t pairs =
          args.pair_offsets != nullptr ? args.n_heads * args.pair_offsets[s] + h * length * length : 0;
      function(AttentionHead{first * args.stride + column, first * args.out_stride + column, length, pairs});
    }
  }
}

constexpr int64_t kQueryRows = 64;  // rows of scores that are kept at a time

// Probabilities of rows [first, first + n) of a head, after dropout; where they are.
template <typename V>
inline const float* attention_rows(const RaggedAttention& args, const AttentionHead& head, const float* keys,
                                   int64_t first, int64_t n, float* work) {
  const int64_t length = head.length;
  float* p = args.probabilities != nullptr ? args.probabilities + head.pair_first + first * length : work;
  const float* q = args.q + head.at + first * args.stride;
  multiply<V>({{q, args.stride, 1, keys, padded<V>(length)}, p, length, n, length, args.head_dim, args.scale});
  for (int64_t i = 0; i < n; ++i) softmax_row<V>(p + i * length, p + i * length, length);
  if (args.dropout == 0) return p;
  const auto index = static_cast<uint64_t>(head.pair_first + first * length);
  dropout<V>(p, work, n * length, args.dropout, args.seed, args.stream, index);
  return work;
}

template <typename V>
void attention(const RaggedAttention& args, int64_t begin, int64_t end) {
  for_each_head(args, begin, end, [&](const AttentionHead& head) {
    const int64_t length = head.length;
    const int64_t stride = padded<V>(length);
    // Transposed keys [head_dim, stride], then rows of scores.
    auto* keys = thread_scratch_of<float>(ScratchUse::kBlock, stride * (args.head_dim + kQueryRows));
    float* work = keys + stride * args.head_dim;
    transpose_into<V>(args.k + head.at, args.stride, length, args.head_dim, keys, stride);
    for (int64_t i = 0; i < length; i += kQueryRows) {
      const int64_t n = length - i < kQueryRows ? length - i : kQueryRows;
      const float* p = attention_rows<V>(args, head, keys, i, n, work);
      multiply<V>({{p, length, 1, args.v + head.at, args.stride},
                   args.out + head.out_at + i * args.out_stride,
                   args.out_stride,
                   n,
                   args.head_dim,
                   length});
    }
  });
}

// d_p [length, length] holds the gradient of the probabilities after dropout and becomes that of the products q · k.
template <typename V>
inline void softmax_grad_rows(const RaggedAttention& args, const AttentionHead& head, float* d_p) {
  const int64_t length = head.length;
  const float* p = args.probabilities + head.pair_first;
  if (args.dropout != 0) {
    const auto index = static_cast<uint64_t>(head.pair_first);
    dropout<V>(d_p, d_p, length * length, args.dropout, args.seed, args.stream, index);
  }
  const typename V::Float scale = V::broadcast(args.scale);
  for (int64_t i = 0; i < length * length; i += length) {
    const typename V::Float sum = V::broadcast(V::sum(reduce_vectors<V>(
        length, V::zero(),
        [&](int64_t j, auto lanes) { return V::load(d_p + i + j, lanes) * V::load(p + i + j, lanes); },
        [](auto a, auto b) { return a + b; })));
    for_each_vector<V>(length, [&](int64_t j, auto lanes) {
      const auto difference = V::load(d_p + i + j, lanes) - sum;
      V::store(d_p + i + j, V::load(p + i + j, lanes) * difference * scale, lanes);
    });
  }
}

template <typename V>
inline void attention_grad_head(const RaggedAttentionGrad& args, const AttentionHead& head) {
  const RaggedAttention& forward = args.forward;
  const int64_t length = head.length;
  const int64_t width = forward.head_dim;
  const int64_t stride = padded<V>(length);
  // Transposed values [head_dim, stride], gradients of the scores and dropped probabilities [length, length].
  auto* values = thread_scratch_of<float>(ScratchUse::kBlock, stride * width + 2 * length * length);
  float* d_p = values + stride * width;
  const float* p = forward.probabilities + head.pair_first;
  if (forward.dropout != 0) {
    float* dropped = d_p + length * length;
    const auto index = static_cast<uint64_t>(head.pair_first);
    dropout<V>(p, dropped, length * length, forward.dropout, forward.seed, forward.stream, index);
    p = dropped;
  }
  const float* d_out = args.d_out + head.out_at;
  const int64_t row = forward.stride;
  transpose_into<V>(forward.v + head.at, row, length, width, values, stride);
  multiply<V>({{d_out, forward.out_stride, 1, values, stride}, d_p, length, length, length, width});
  softmax_grad_rows<V>(forward, head, d_p);
  multiply<V>({{p, 1, length, d_out, forward.out_stride}, args.d_v + head.at, row, length, width, length});
  multiply<V>({{d_p, length, 1, forward.k + head.at, row}, args.d_q + head.at, row, length, width, length});
  multiply<V>({{d_p, 1, length, forward.q + head.at, row}, args.d_k + head.at, row, length, width, length});
}

template <typename V>
void attention_grad(const RaggedAttentionGrad& args, int64_t begin, int64_t end) {
  for_each_head(args.forward, begin, end, [&](const AttentionHead& head) { attention_grad_head<V>(args, head); });
}

}  // namespace
}  // namespace fettle::x86
