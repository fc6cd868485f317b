// Activations and their gradients, for any vector type.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/vector/lanes.h"
#include "kernels/vector/math.inl.h"

namespace fettle::vector {
namespace {

constexpr float kGeluTanhScale = 0.79788456f;  // sqrt(2 / π)
constexpr float kGeluTanhCubic = 0.044715f;

template <typename V, Activation kind>
inline typename V::Float activation_value(typename V::Float x) {
  if constexpr (kind == Activation::kRelu) return V::max(V::zero(), x);
  if constexpr (kind == Activation::kTanh) return tanh<V>(x);
  if constexpr (kind == Activation::kGelu) return x * normal_cdf<V>(x).cdf;
  if constexpr (kind == Activation::kGeluTanh) {
    // (1 + tanh u) / 2 is the logistic function of 2u.
    const auto slope =
        V::fma(x * x, V::broadcast(2 * kGeluTanhScale * kGeluTanhCubic), V::broadcast(2 * kGeluTanhScale));
    return x * sigmoid<V>(x * slope);
  }
  return x;
}

template <typename V, Activation kind>
inline typename V::Float activation_slope(typename V::Float x) {
  using Float = typename V::Float;
  const Float one = V::broadcast(1.0f);
  if constexpr (kind == Activation::kRelu) return V::select(V::less(V::zero(), x), one, V::zero());
  if constexpr (kind == Activation::kTanh) {
    const Float t = tanh<V>(x);
    return V::fnma(t, t, one);
  }
  if constexpr (kind == Activation::kGelu) {
    const NormalCdf<V> normal = normal_cdf<V>(x);
    return V::fma(x, normal.bell * V::broadcast(0.39894228f), normal.cdf);  // 1 / sqrt(2π)
  }
  if constexpr (kind == Activation::kGeluTanh) {
    // Beyond ±12 the slope is 0 or 1; further out its factors are 0 and infinity.
    x = V::min(V::broadcast(12.0f), V::max(V::broadcast(-12.0f), x));
    const Float square = x * x;
    const Float linear = V::broadcast(2 * kGeluTanhScale);
    const Float s = sigmoid<V>(x * V::fma(square, V::broadcast(2 * kGeluTanhScale * kGeluTanhCubic), linear));
    const Float inner = V::fma(square, V::broadcast(6 * kGeluTanhScale * kGeluTanhCubic), linear);
    return V::fma(x * inner, s * (one - s), s);
  }
  return one;
}

template <typename V, Activation kind>
void activate_as(const float* x, float* y, int64_t n) {
  for_each_vector_fetching<V>(
      n,
      [&](int64_t i) {
        prefetch_near(x + i);
        prefetch_to_write(y + i);
      },
      [&](int64_t i, auto lanes) { V::store(y + i, activation_value<V, kind>(V::load(x + i, lanes)), lanes); });
}

template <typename V, Activation kind>
void activate_grad_as(const float* x, const float* d_y, float* d_x, int64_t n) {
  for_each_vector_fetching<V>(
      n,
      [&](int64_t i) {
        prefetch_near(x + i);
        prefetch_near(d_y + i);
        prefetch_to_write(d_x + i);
      },
      [&](int64_t i, auto lanes) {
        V::store(d_x + i, V::load(d_y + i, lanes) * activation_slope<V, kind>(V::load(x + i, lanes)), lanes);
      });
}

template <typename V>
void activate(Activation kind, const float* x, float* y, int64_t n) {
  switch (kind) {
    case Activation::kNone:
      return activate_as<V, Activation::kNone>(x, y, n);
    case Activation::kRelu:
      return activate_as<V, Activation::kRelu>(x, y, n);
    case Activation::kTanh:
      return activate_as<V, Activation::kTanh>(x, y, n);
    case Activation::kGelu:
      return activate_as<V, Activation::kGelu>(x, y, n);
    case Activation::kGeluTanh:
      return activate_as<V, Activation::kGeluTanh>(x, y, n);
  }
}

template <typename V>
void activate_grad(Activation kind, const float* x, const float* d_y, float* d_x, int64_t n) {
  switch (kind) {
    case Activation::kNone:
      return activate_grad_as<V, Activation::kNone>(x, d_y, d_x, n);
    case Activation::kRelu:
      return activate_grad_as<V, Activation::kRelu>(x, d_y, d_x, n);
    case Activation::kTanh:
      return activate_grad_as<V, Activation::kTanh>(x, d_y, d_x, n);
    case Activation::kGelu:
      return activate_grad_as<V, Activation::kGelu>(x, d_y, d_x, n);
    case Activation::kGeluTanh:
      return activate_grad_as<V, Activation::kGeluTanh>(x, d_y, d_x, n);
  }
}

}  // namespace
}  // namespace fettle::vector
