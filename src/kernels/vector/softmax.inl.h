// Softmax and log-softmax of rows, for any vector type.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/vector/lanes.h"
#include "kernels/vector/math.inl.h"

namespace fettle::vector {
namespace {

template <typename V>
inline float row_maximum(const float* x, int64_t n) {
  const typename V::Float lowest = V::broadcast(-INFINITY);
  return V::largest(reduce_vectors<V>(
      n, lowest, [&](int64_t i, auto lanes) { return V::keep(V::load(x + i, lanes), lowest, lanes); },
      [](auto a, auto b) { return V::max(a, b); }));
}

// store(i, values, lanes) for every vector of softmax(x), n >= 1; work [n] may be x.
template <typename V, typename Store>
inline void softmax_row_as(const float* x, float* work, int64_t n, Store&& store) {
  using Float = typename V::Float;
  if (n <= V::kWidth) {  // all in one register
    const Float lowest = V::broadcast(-INFINITY);
    const FirstLanes lanes{n};
    const Float value = V::keep(V::load(x, lanes), lowest, lanes);
    const Float power = V::keep(exp<V>(value - V::broadcast(V::largest(value))), V::zero(), lanes);
    store(0, power * V::broadcast(1.0f / V::sum(power)), lanes);
    return;
  }
  const Float maximum = V::broadcast(row_maximum<V>(x, n));
  const Float sum = reduce_vectors<V>(
      n, V::zero(),
      [&](int64_t i, auto lanes) {
        const Float power = V::keep(exp<V>(V::load(x + i, lanes) - maximum), V::zero(), lanes);
        V::store(work + i, power, lanes);
        return power;
      },
      [](auto a, auto b) { return a + b; });
  const Float inverse = V::broadcast(1.0f / V::sum(sum));
  for_each_vector<V>(n, [&](int64_t i, auto lanes) { store(i, V::load(work + i, lanes) * inverse, lanes); });
}

// y = softmax(x); y may be x. n >= 1.
template <typename V>
inline void softmax_row(const float* x, float* y, int64_t n) {
  softmax_row_as<V>(x, y, n, [&](int64_t i, auto values, auto lanes) { V::store(y + i, values, lanes); });
}

template <typename V>
void softmax(float* x, int64_t rows, int64_t width) {
  if (width == 0) return;
  for (int64_t r = 0; r < rows; ++r) softmax_row<V>(x + r * width, x + r * width, width);
}

template <typename V>
void log_softmax(float* x, int64_t rows, int64_t width) {
  if (width == 0) return;
  for (int64_t r = 0; r < rows; ++r) {
    float* row = x + r * width;
    const float maximum = row_maximum<V>(row, width);
    const typename V::Float shift = V::broadcast(maximum);
    const float sum = V::sum(reduce_vectors<V>(
        width, V::zero(),
        [&](int64_t i, auto lanes) { return V::keep(exp<V>(V::load(row + i, lanes) - shift), V::zero(), lanes); },
        [](auto a, auto b) { return a + b; }));
    const typename V::Float log_sum = V::broadcast(::logf(sum));
    for_each_vector<V>(
        width, [&](int64_t i, auto lanes) { V::store(row + i, V::load(row + i, lanes) - shift - log_sum, lanes); });
  }
}

}  // namespace
}  // namespace fettle::vector
