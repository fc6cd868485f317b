#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/reference/kernels.h"

namespace fettle::reference {
namespace {

// One head of one sequence: rows [first, first + length), columns [column, column + head_dim).
struct Head {
  int64_t first;
  int64_t length;
  int64_t column;
  int64_t pair_first;  // index of its [length, length] block in `probabilities`
};

template <typename Function>
void for_each_head(const RaggedAttention& args, int64_t begin, int64_t end, Function function) {
  for (int64_t s = begin; s < end; ++s) {
    const int64_t length = args.offsets[s + 1] - args.offsets[s];
    for (int64_t h = 0; h < args.n_heads; ++h) {
      const int64_t pair_first =
          args.pair_offsets != nullptr ? args.n_heads * args.pair_offsets[s] + h * length * length : 0;
      function(Head{args.offsets[s], length, h * args.head_dim, pair_first});
    }
  }
}

double dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

double dropout_factor(const RaggedAttention& args, int64_t index) {
  if (args.dropout == 0) return 1;
  return dropout_keep(args.seed, args.stream, index, args.dropout) ? 1.0 / (1.0 - args.dropout) : 0.0;
}

// p [length] = softmax(scale · q kᵀ); rows of k are `stride` apart.
void probabilities_of(const float* q, const float* k, int64_t stride, int64_t head_dim, float scale,
                      std::vector<double>& p) {
  double maximum = -INFINITY;
  for (size_t j = 0; j < p.size(); ++j) {
    p[j] = scale * dot(q, k + static_cast<int64_t>(j) * stride, head_dim);
    maximum = std::max(maximum, p[j]);
  }
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - maximum);
  for (double& value : p) value /= sum;
}

// out [head_dim] = Σ_j p[j] v[j].
void weighted_sum(const std::vector<double>& p, const float* v, int64_t stride, int64_t head_dim, float* out) {
  for (int64_t c = 0; c < head_dim; ++c) {
    double value = 0;
    for (size_t j = 0; j < p.size(); ++j) value += p[j] * v[static_cast<int64_t>(j) * stride + c];
    out[c] = static_cast<float>(value);
  }
}

void attend_row(const RaggedAttention& args, const Head& head, int64_t i, std::vector<double>& p) {
  const int64_t at = head.first * args.stride + head.column;
  probabilities_of(args.q + at + i * args.stride, args.k + at, args.stride, args.head_dim, args.scale, p);
  for (int64_t j = 0; j < head.length; ++j) {
    const int64_t index = head.pair_first + i * head.length + j;
    if (args.probabilities != nullptr) args.probabilities[index] = static_cast<float>(p[j]);
    p[j] *= dropout_factor(args, index);
  }
  weighted_sum(p, args.v + at, args.stride, args.head_dim, args.out + (head.first + i) * args.out_stride + head.column);
}

// d_scores [length, length] is the gradient of the scaled products' inputs, dropped [length, length] the probabilities
// after dropout.
void score_gradients(const RaggedAttentionGrad& args, const Head& head, std::vector<double>& d_scores,
                     std::vector<double>& dropped) {
  const RaggedAttention& forward = args.forward;
  const int64_t n = head.length;
  for (int64_t i = 0; i < n; ++i) {
    const float* d_out = args.d_out + (head.first + i) * forward.out_stride + head.column;
    const float* p = forward.probabilities + head.pair_first + i * n;
    double row_sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double factor = dropout_factor(forward, head.pair_first + i * n + j);
      const float* v = forward.v + (head.first + j) * forward.stride + head.column;
      const double d_p = factor * dot(d_out, v, forward.head_dim);
      dropped[i * n + j] = p[j] * factor;
      d_scores[i * n + j] = d_p;
      row_sum += d_p * p[j];
    }
    for (int64_t j = 0; j < n; ++j) d_scores[i * n + j] = p[j] * (d_scores[i * n + j] - row_sum) * forward.scale;
  }
}

void attention_grad_of_head(const RaggedAttentionGrad& args, const Head& head) {
  const RaggedAttention& forward = args.forward;
  const int64_t n = head.length;
  std::vector<double> d_scores(n * n);
  std::vector<double> dropped(n * n);
  score_gradients(args, head, d_scores, dropped);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t at = (head.first + i) * forward.stride + head.column;
    for (int64_t c = 0; c < forward.head_dim; ++c) {
      double d_q = 0;
      double d_k = 0;
      double d_v = 0;
      for (int64_t j = 0; j < n; ++j) {
        const int64_t other = (head.first + j) * forward.stride + head.column + c;
        d_q += d_scores[i * n + j] * forward.k[other];
        d_k += d_scores[j * n + i] * forward.q[other];
        d_v += dropped[j * n + i] * args.d_out[(head.first + j) * forward.out_stride + head.column + c];
      }
      args.d_q[at + c] = static_cast<float>(d_q);
      args.d_k[at + c] = static_cast<float>(d_k);
      args.d_v[at + c] = static_cast<float>(d_v);
    }
  }
}

}  // namespace

void attention(const RaggedAttention& args, int64_t begin, int64_t end) {
  std::vector<double> row;
  for_each_head(args, begin, end, [&](const Head& head) {
    row.resize(head.length);
    for (int64_t i = 0; i < head.length; ++i) attend_row(args, head, i, row);
  });
}

void attention_rows(const AttentionRows& args, int64_t begin, int64_t end) {
  std::vector<double> p;
  for (int64_t r = begin; r < end; ++r) {
    const int32_t* bounds = args.offsets + args.sequences[r];
    p.resize(bounds[1] - bounds[0]);
    for (int64_t h = 0; h < args.n_heads; ++h) {
      const int64_t column = h * args.head_dim;
      const int64_t at = bounds[0] * args.stride + column;
      probabilities_of(args.q + r * args.q_stride + column, args.k + at, args.stride, args.head_dim, args.scale, p);
      weighted_sum(p, args.v + at, args.stride, args.head_dim, args.out + r * args.out_stride + column);
    }
  }
}

void attention_grad(const RaggedAttentionGrad& args, int64_t begin, int64_t end) {
  for_each_head(args.forward, begin, end, [&](const Head& head) { attention_grad_of_head(args, head); });
}

}  // namespace fettle::reference
