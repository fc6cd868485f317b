// Element-wise kernels, sums and the optimizer's step, for any vector type.
#pragma once

#include <immintrin.h>

#include "kernels/kernel_table.h"
#include "kernels/x86/lanes.h"

namespace fettle::x86 {
namespace {

template <typename V>
void add(const float* a, const float* b, float* y, int64_t n) {
  for_each_vector<V>(
      n, [&](int64_t i, auto lanes) { V::store(y + i, V::load(a + i, lanes) + V::load(b + i, lanes), lanes); });
}

template <typename V>
void scale(const float* x, float factor, float* y, int64_t n) {
  const typename V::Float f = V::broadcast(factor);
  for_each_vector<V>(n, [&](int64_t i, auto lanes) { V::store(y + i, V::load(x + i, lanes) * f, lanes); });
}

template <typename V>
void add_bias(const float* x, const float* bias, float* y, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) add<V>(x + r * width, bias, y + r * width, width);
}

// Row by row, so that memory is read in order; the sums stay in the first-level cache.
template <typename V>
void sum_rows(const float* x, int64_t rows, int64_t ldx, float* y, int64_t begin, int64_t end) {
  const int64_t n = end - begin;
  float* sums = y + begin;
  for_each_vector<V>(n, [&](int64_t i, auto lanes) { V::store(sums + i, V::zero(), lanes); });
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const float* row = x + r * ldx + begin;
    for_each_vector<V>(n, [&](int64_t i, auto lanes) {
      typename V::Float sum = V::load(sums + i, lanes) + V::load(row + i, lanes);
      sum = sum + V::load(row + ldx + i, lanes);
      sum = sum + V::load(row + 2 * ldx + i, lanes);
      V::store(sums + i, sum + V::load(row + 3 * ldx + i, lanes), lanes);
    });
  }
  for (; r < rows; ++r) add<V>(sums, x + r * ldx + begin, sums, n);
}

template <typename V>
double sum_of_squares(const float* x, int64_t n) {
  typename V::Double even = V::zero_double();
  typename V::Double odd = V::zero_double();
  int64_t i = 0;
  for (; i + 2 * V::kWidth <= n; i += 2 * V::kWidth) {
    even = V::add_squares(even, V::load(x + i));
    odd = V::add_squares(odd, V::load(x + i + V::kWidth));
  }
  for (; i + V::kWidth <= n; i += V::kWidth) even = V::add_squares(even, V::load(x + i));
  if (i < n) odd = V::add_squares(odd, V::load(x + i, FirstLanes{n - i}));
  return V::sum_double(even) + V::sum_double(odd);
}

inline void prefetch(const float* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}

template <typename V>
void adamw(const AdamwStep& step, int64_t begin, int64_t end) {
  using Float = typename V::Float;
  constexpr int64_t kPrefetch = 256;  // elements ahead, in each of the four streams
  const Float grad_scale = V::broadcast(step.grad_scale);
  const Float beta1 = V::broadcast(step.beta1);
  const Float beta2 = V::broadcast(step.beta2);
  const Float rest1 = V::broadcast(static_cast<float>(1.0 - step.beta1));
  const Float rest2 = V::broadcast(static_cast<float>(1.0 - step.beta2));
  const Float rate = V::broadcast(step.lr / step.bias1);
  const Float unbias2 = V::broadcast(1.0f / step.bias2);
  const Float eps = V::broadcast(step.eps);
  const Float decay = V::broadcast(static_cast<float>(1.0 - static_cast<double>(step.lr) * step.weight_decay));
  for_each_vector<V>(end - begin, [&](int64_t offset, auto lanes) {
    const int64_t i = begin + offset;
    prefetch(step.weight + i + kPrefetch);
    prefetch(step.grad + i + kPrefetch);
    prefetch(step.m + i + kPrefetch);
    prefetch(step.v + i + kPrefetch);
    const Float g = V::load(step.grad + i, lanes) * grad_scale;
    const Float m = V::fma(V::load(step.m + i, lanes), beta1, rest1 * g);
    const Float v = V::fma(V::load(step.v + i, lanes), beta2, rest2 * g * g);
    V::store(step.m + i, m, lanes);
    V::store(step.v + i, v, lanes);
    const Float update = m / (V::sqrt(v * unbias2) + eps);
    V::store(step.weight + i, V::fnma(rate, update, V::load(step.weight + i, lanes) * decay), lanes);
  });
}

}  // namespace
}  // namespace fettle::x86
