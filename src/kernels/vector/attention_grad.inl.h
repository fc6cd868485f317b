// The gradient of ragged self-attention, for any vector type.
#pragma once

#include <cstdint>

#include "kernels/vector/attention.inl.h"

namespace fettle::vector {
namespace {

// d_p [length, length] holds the gradient of the probabilities after dropout and becomes that of the products q · k.
// With dropout, `dropped` receives the probabilities after it, and bits [length, length] tell what is kept.
template <typename V, bool has_dropout>
inline void softmax_grad_rows(const RaggedAttention& args, const AttentionDropout<V>& dropout,
                              const AttentionHead& head, const uint64_t* bits, float* d_p, float* dropped) {
  using Float = typename V::Float;
  const int64_t length = head.length;
  const float* p = args.probabilities + head.pair_first;
  const Float scale = V::broadcast(args.scale);
  for (int64_t i = 0; i < length * length; i += length) {
    Float sums = V::zero();
    for_each_vector<V>(length, [&](int64_t j, auto lanes) {
      const Float probability = V::load(p + i + j, lanes);
      Float gradient = V::load(d_p + i + j, lanes);
      if constexpr (has_dropout) {
        gradient = dropout.apply(gradient, bits, i + j);
        V::store(d_p + i + j, gradient, lanes);
        V::store(dropped + i + j, dropout.apply(probability, bits, i + j), lanes);
      }
      sums = V::fma(gradient, probability, sums);
    });
    const Float sum = V::broadcast(V::sum(sums));
    for_each_vector<V>(length, [&](int64_t j, auto lanes) {
      const Float difference = V::load(d_p + i + j, lanes) - sum;
      V::store(d_p + i + j, V::load(p + i + j, lanes) * difference * scale, lanes);
    });
  }
}

template <typename V>
inline void attention_grad_head(const RaggedAttentionGrad& args, const AttentionDropout<V>& dropout,
                                const AttentionHead& head, const AttentionHead& next) {
  const RaggedAttention& forward = args.forward;
  const int64_t length = head.length;
  const int64_t pairs = length * length;
  const int64_t width = forward.head_dim;
  const int64_t stride = padded<V>(length);
  const int64_t row = forward.stride;
  // Transposed values [head_dim, stride], bits of dropout, gradients of the scores and dropped probabilities
  // [length, length].
  const int64_t n_work = stride * width + 2 * bit_words(pairs) + 2 * pairs;
  auto* values = thread_scratch_of<float>(ScratchUse::kBlock, static_cast<size_t>(n_work));
  auto* bits = reinterpret_cast<uint64_t*>(values + stride * width);
  float* d_p = reinterpret_cast<float*>(bits + bit_words(pairs));
  const float* p = forward.probabilities + head.pair_first;
  const float* d_out = args.d_out + head.out_at;
  const auto fetch = [&](const float* x) { fetch_rows(x + next.at, row, next.length, width); };
  const auto fetch_to_write = [&](const float* x) { fetch_rows<true>(x + next.at, row, next.length, width); };

  fetch(forward.v);
  transpose_into<V>(forward.v + head.at, row, length, width, values, stride);
  fetch_rows(args.d_out + next.out_at, forward.out_stride, next.length, width);
  multiply<V>({{d_out, forward.out_stride, 1, values, stride}, d_p, length, length, length, width});
  fetch(forward.q);
  if (forward.dropout != 0) {
    dropout.draw.fill(static_cast<uint64_t>(head.pair_first), pairs, bits);
    softmax_grad_rows<V, true>(forward, dropout, head, bits, d_p, d_p + pairs);
    p = d_p + pairs;
  } else {
    softmax_grad_rows<V, false>(forward, dropout, head, bits, d_p, nullptr);
  }
  fetch_to_write(args.d_v);
  multiply<V>({{p, 1, length, d_out, forward.out_stride}, args.d_v + head.at, row, length, width, length});
  fetch(forward.k);
  fetch_to_write(args.d_q);
  multiply<V>({{d_p, length, 1, forward.k + head.at, row}, args.d_q + head.at, row, length, width, length});
  fetch_to_write(args.d_k);
  multiply<V>({{d_p, 1, length, forward.q + head.at, row}, args.d_k + head.at, row, length, width, length});
}

template <typename V>
void attention_grad(const RaggedAttentionGrad& args, int64_t begin, int64_t end) {
  const AttentionDropout<V> dropout(args.forward);
  for_each_head(args.forward, begin, end, [&](const AttentionHead& head, const AttentionHead& next) {
    attention_grad_head<V>(args, dropout, head, next);
  });
}

}  // namespace
}  // namespace fettle::vector
