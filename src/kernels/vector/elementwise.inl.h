// Element-wise kernels, sums and the optimizer's step, for any vector type.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/kernel_table.h"
#include "kernels/vector/lanes.h"

namespace fettle::vector {
namespace {

template <typename V>
void add(const float* a, const float* b, float* y, int64_t n) {
  for_each_vector_fetching<V>(
      n,
      [&](int64_t i) {
        prefetch_near(a + i);
        prefetch_near(b + i);
        prefetch_to_write(y + i);
      },
      [&](int64_t i, auto lanes) { V::store(y + i, V::load(a + i, lanes) + V::load(b + i, lanes), lanes); });
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

// Row by row, so that memory is read in order; the sums stay in the first-level cache. A row's part is short, so rows
// are fetched about 12 kB ahead.
template <typename V>
void sum_rows(const float* x, int64_t rows, int64_t ldx, float* y, int64_t begin, int64_t end) {
  constexpr int64_t kAhead = 3072;
  const int64_t n = end - begin;
  if (n <= 0) return;
  const int64_t rows_ahead = n < kAhead ? (kAhead / n + 3) / 4 * 4 : 4;
  float* sums = y + begin;
  for_each_vector<V>(n, [&](int64_t i, auto lanes) { V::store(sums + i, V::zero(), lanes); });
  const auto add_rows = [&](int64_t r, auto fetch) {
    const float* row = x + r * ldx + begin;
    const float* later = x + (r + rows_ahead) * ldx + begin;
    for_each_vector<V>(n, [&](int64_t i, auto lanes) {
      if constexpr (fetch) {
#pragma GCC unroll 4
        for (int64_t k = 0; k < 4; ++k) prefetch_near(later + k * ldx + i);
      }
      typename V::Float sum = V::load(sums + i, lanes) + V::load(row + i, lanes);
      sum = sum + V::load(row + ldx + i, lanes);
      sum = sum + V::load(row + 2 * ldx + i, lanes);
      V::store(sums + i, sum + V::load(row + 3 * ldx + i, lanes), lanes);
    });
  };
  int64_t r = 0;
  for (; r + rows_ahead + 4 <= rows; r += 4) add_rows(r, std::true_type{});
  for (; r + 4 <= rows; r += 4) add_rows(r, std::false_type{});
  for (; r < rows; ++r) add<V>(sums, x + r * ldx + begin, sums, n);
}

// Four quarters of the array side by side, because memory gives a single stream less than it could. Each quarter has a
// sum per lane; they are added quarter by quarter, and what does not divide comes last.
template <typename V>
double sum_of_squares(const float* x, int64_t n) {
  constexpr int kQuarters = 4;
  const int64_t quarter = n / (kQuarters * V::kWidth) * V::kWidth;
  typename V::Double sums[kQuarters] = {V::zero_double(), V::zero_double(), V::zero_double(), V::zero_double()};
  for (int64_t i = 0; i < quarter; i += V::kWidth) {
#pragma GCC unroll 4
    for (int q = 0; q < kQuarters; ++q) sums[q] = V::add_squares(sums[q], V::load(x + q * quarter + i));
  }
  typename V::Double rest = V::zero_double();
  const float* last = x + kQuarters * quarter;
  for_each_vector<V>(n - kQuarters * quarter,
                     [&](int64_t i, auto lanes) { rest = V::add_squares(rest, V::load(last + i, lanes)); });
  double sum = 0;
  for (const auto& of_quarter : sums) sum += V::sum_double(of_quarter);
  return sum + V::sum_double(rest);
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
    prefetch_near(step.weight + i + kPrefetch);
    prefetch_near(step.grad + i + kPrefetch);
    prefetch_near(step.m + i + kPrefetch);
    prefetch_near(step.v + i + kPrefetch);
    const Float g = V::load(step.grad + i, lanes) * grad_scale;
    const Float m = V::fma(V::load(step.m + i, lanes), beta1, rest1 * g);
    const Float v = V::fma(V::load(step.v + i, lanes), beta2, rest2 * g * g);
    V::store(step.m + i, m, lanes);
    V::store(step.v + i, v, lanes);
    const Float update = m / (V::sqrt(v * unbias2) + eps);
    V::store(step.weight + i, V::fnma(rate, update, V::load(step.weight + i, lanes) * decay), lanes);
  });
}

template <typename V>
void adamw_idle(const AdamwRow& row, const AdamwStep* steps, int64_t n_steps) {
  using Float = typename V::Float;
  // A row that never had a gradient only decays.
  bool is_fresh = true;
  for (int64_t i = 0; i < row.n && is_fresh; ++i) is_fresh = row.m[i] == 0 && row.v[i] == 0;
  for (const AdamwStep* step = steps; step < steps + n_steps; ++step) {
    const Float decay = V::broadcast(static_cast<float>(1.0 - static_cast<double>(step->lr) * step->weight_decay));
    if (is_fresh) {
      for_each_vector<V>(row.n, [&](int64_t i, auto lanes) {
        V::store(row.weight + i, V::load(row.weight + i, lanes) * decay, lanes);
      });
      continue;
    }
    const Float beta1 = V::broadcast(step->beta1);
    const Float beta2 = V::broadcast(step->beta2);
    const Float rate = V::broadcast(step->lr / step->bias1);
    const Float unbias2 = V::broadcast(1.0f / step->bias2);
    const Float eps = V::broadcast(step->eps);
    for_each_vector<V>(row.n, [&](int64_t i, auto lanes) {
      const Float m = V::load(row.m + i, lanes) * beta1;
      const Float v = V::load(row.v + i, lanes) * beta2;
      V::store(row.m + i, m, lanes);
      V::store(row.v + i, v, lanes);
      const Float update = m / (V::sqrt(v * unbias2) + eps);
      V::store(row.weight + i, V::fnma(rate, update, V::load(row.weight + i, lanes) * decay), lanes);
    });
  }
}

}  // namespace
}  // namespace fettle::vector
