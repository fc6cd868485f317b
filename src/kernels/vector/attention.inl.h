// Ragged self-attention, for any vector type. Every product of a head is a small matrix product whose right operand has
// contiguous rows; keys are transposed into working memory for that. Heads are so short that waiting for memory would
// take most of the time, so the rows of the next head are fetched while this one is worked on.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/scratch.h"
#include "kernels/vector/dropout.inl.h"
#include "kernels/vector/prefetch.h"
#include "kernels/vector/small_product.inl.h"
#include "kernels/vector/softmax.inl.h"

namespace fettle::vector {
namespace {

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

inline AttentionHead attention_head(const RaggedAttention& args, int64_t s, int64_t h) {
  const int64_t first = args.offsets[s];
  const int64_t length = args.offsets[s + 1] - first;
  const int64_t column = h * args.head_dim;
  const int64_t pairs = args.pair_offsets != nullptr ? args.n_heads * args.pair_offsets[s] + h * length * length : 0;
  return {first * args.stride + column, first * args.out_stride + column, length, pairs};
}

// function(head, the head after it), which is empty after the last one. Sequences without tokens are passed over: the
// operands may be null.
template <typename Function>
inline void for_each_head(const RaggedAttention& args, int64_t begin, int64_t end, Function function) {
  AttentionHead head{};
  for (int64_t s = begin; s < end; ++s) {
    if (args.offsets[s + 1] == args.offsets[s]) continue;
    for (int64_t h = 0; h < args.n_heads; ++h) {
      const AttentionHead next = attention_head(args, s, h);
      if (head.length > 0) function(head, next);
      head = next;
    }
  }
  if (head.length > 0) function(head, AttentionHead{});
}

constexpr int64_t kLineFloats = 16;  // of a cache line

// A head's rows of x [tokens, n_heads · head_dim], soon to be read or written. Of long heads a part is enough: they
// take their time.
constexpr int64_t kFetchedRows = 64;

template <bool to_write = false>
inline void fetch_rows(const float* x, int64_t stride, int64_t length, int64_t head_dim) {
  const int64_t n = length < kFetchedRows ? length : kFetchedRows;
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = 0; c < head_dim; c += kLineFloats) {
      if constexpr (to_write) {
        prefetch_to_write(x + r * stride + c);
      } else {
        prefetch_near(x + r * stride + c);
      }
    }
  }
}

template <typename V>
struct AttentionDropout {
  explicit AttentionDropout(const RaggedAttention& args)
      : draw(args.dropout, args.seed, args.stream), factor(V::broadcast(1.0f / (1.0f - args.dropout))) {}

  // Value x of the element that bit `at` of `bits` decides on.
  typename V::Float apply(typename V::Float x, const uint64_t* bits, int64_t at) const {
    return V::select(V::mask_of_bits(bits_from(bits, at)), x * factor, V::zero());
  }

  DropoutBits<V> draw;
  typename V::Float factor;
};

constexpr int64_t kQueryRows = 64;  // rows of scores that are kept at a time

// Probabilities of rows [first, first + n) of a head, after dropout; where they are.
template <typename V>
inline const float* attention_rows(const RaggedAttention& args, const AttentionDropout<V>& dropout,
                                   const AttentionHead& head, const float* keys, int64_t first, int64_t n,
                                   float* work) {
  const int64_t length = head.length;
  float* p = args.probabilities != nullptr ? args.probabilities + head.pair_first + first * length : work;
  const float* q = args.q + head.at + first * args.stride;
  multiply<V>({{q, args.stride, 1, keys, padded<V>(length)}, p, length, n, length, args.head_dim, args.scale});
  if (args.dropout == 0) {
    for (int64_t i = 0; i < n; ++i) softmax_row<V>(p + i * length, p + i * length, length);
    return p;
  }
  auto* bits = reinterpret_cast<uint64_t*>(work + kQueryRows * padded<V>(length));
  dropout.draw.fill(static_cast<uint64_t>(head.pair_first + first * length), n * length, bits);
  for (int64_t i = 0; i < n * length; i += length) {
    softmax_row_as<V>(p + i, p + i, length, [&](int64_t j, auto value, auto lanes) {
      V::store(p + i + j, value, lanes);
      V::store(work + i + j, dropout.apply(value, bits, i + j), lanes);
    });
  }
  return work;
}

template <typename V>
void attention(const RaggedAttention& args, int64_t begin, int64_t end) {
  const AttentionDropout<V> dropout(args);
  const int64_t width = args.head_dim;
  for_each_head(args, begin, end, [&](const AttentionHead& head, const AttentionHead& next) {
    const int64_t length = head.length;
    const int64_t stride = padded<V>(length);
    // Transposed keys [head_dim, stride], rows of scores, bits of dropout.
    const int64_t n_work = stride * kQueryRows + 2 * bit_words(stride * kQueryRows);
    auto* keys = thread_scratch_of<float>(ScratchUse::kBlock, static_cast<size_t>(stride * width + n_work));
    fetch_rows(args.k + next.at, args.stride, next.length, width);
    fetch_rows(args.q + next.at, args.stride, next.length, width);
    transpose_into<V>(args.k + head.at, args.stride, length, width, keys, stride);
    fetch_rows(args.v + next.at, args.stride, next.length, width);
    for (int64_t i = 0; i < length; i += kQueryRows) {
      const int64_t n = length - i < kQueryRows ? length - i : kQueryRows;
      const float* p = attention_rows<V>(args, dropout, head, keys, i, n, keys + stride * width);
      if (i == 0) fetch_rows<true>(args.out + next.out_at, args.out_stride, next.length, width);
      multiply<V>({{p, length, 1, args.v + head.at, args.stride},
                   args.out + head.out_at + i * args.out_stride,
                   args.out_stride,
                   n,
                   width,
                   length});
    }
  });
}

// A head's work is that of a row of `attention`, in the same order, so that its bits are the same.
template <typename V>
void attention_rows(const AttentionRows& args, int64_t begin, int64_t end) {
  const int64_t width = args.head_dim;
  for (int64_t r = begin; r < end; ++r) {
    const int64_t first = args.offsets[args.sequences[r]];
    const int64_t length = args.offsets[args.sequences[r] + 1] - first;
    const int64_t stride = padded<V>(length);
    auto* keys = thread_scratch_of<float>(ScratchUse::kBlock, static_cast<size_t>(stride * (width + 1)));
    float* p = keys + stride * width;
    for (int64_t h = 0; h < args.n_heads; ++h) {
      const int64_t at = first * args.stride + h * width;
      const int64_t next = h + 1 < args.n_heads ? at + width : at;
      fetch_rows(args.v + at, args.stride, length, width);
      transpose_into<V>(args.k + at, args.stride, length, width, keys, stride);
      const float* q = args.q + r * args.q_stride + h * width;
      multiply<V>({{q, args.q_stride, 1, keys, stride}, p, length, 1, length, width, args.scale});
      fetch_rows(args.k + next, args.stride, length, width);
      softmax_row<V>(p, p, length);
      multiply<V>({{p, length, 1, args.v + at, args.stride},
                   args.out + r * args.out_stride + h * width,
                   args.out_stride,
                   1,
                   width,
                   length});
    }
  }
}

}  // namespace
}  // namespace fettle::vector
