// Vector exp, tanh and the normal distribution. Polynomials are minimax fits made for this file; the bounds are tested
// against double.
#pragma once

#include <cstdint>

namespace fettle::vector {
namespace {

// c[0] + c[1] x + …
template <typename V, int n>
inline typename V::Float polynomial(typename V::Float x, const float (&c)[n]) {
  typename V::Float y = V::broadcast(c[n - 1]);
#pragma GCC unroll 16
  for (int i = n - 2; i >= 0; --i) y = V::fma(y, x, V::broadcast(c[i]));
  return y;
}

// e^x within 2 ulp; 0 below e^-86, infinity where f32 ends, NaN stays NaN.
template <typename V>
inline typename V::Float exp(typename V::Float x) {
  using Float = typename V::Float;
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  constexpr float kTail[] = {0.49999994f, 0.16666521f, 0.04166839f, 0.0083687156f, 0.0013814602f};
  const Float lowest = V::broadcast(-86.0f);
  const Float clamped = V::min(V::broadcast(89.5f), V::max(lowest, x));
  const Float n = V::round(clamped * V::broadcast(kLog2E));
  const Float r = V::fnma(n, V::broadcast(kLn2Low), V::fnma(n, V::broadcast(kLn2High), clamped));
  const Float one = V::broadcast(1.0f);
  const Float power = V::fma(r * r, polynomial<V>(r, kTail), r) + one;
  return V::select(V::less(x, lowest), V::zero(), V::times_power_of_two(power, n));
}

template <typename V>
inline typename V::Float tanh(typename V::Float x) {
  using Float = typename V::Float;
  constexpr float kOdd[] = {-0.33333281f, 0.13331442f, -0.053739715f, 0.020639088f, -0.0057049873f};
  const Float magnitude = V::abs(x);
  const Float square = x * x;
  const Float small = V::fma(x * square, polynomial<V>(square, kOdd), x);
  const Float one = V::broadcast(1.0f);
  const Float two = V::broadcast(2.0f);
  const Float large = one - two / (exp<V>(two * magnitude) + one);
  return V::select(V::less(magnitude, V::broadcast(0.625f)), small, V::copy_sign(large, x));
}

template <typename V>
inline typename V::Float sigmoid(typename V::Float x) {
  const typename V::Float one = V::broadcast(1.0f);
  return one / (one + exp<V>(V::zero() - x));
}

// Φ(x), and the bell e^(-x²/2) that comes with it. Small relative error in both tails: Φ(-a) is the bell times a
// polynomial in 1 / (1 + 0.3 a), the form of Abramowitz & Stegun 26.2.17 with more terms.
template <typename V>
struct NormalCdf {
  typename V::Float cdf;
  typename V::Float bell;
};

template <typename V>
inline NormalCdf<V> normal_cdf(typename V::Float x) {
  using Float = typename V::Float;
  constexpr float kTail[] = {0.0f,         0.11962930f, 0.12075397f, 0.09991341f, 0.12856193f,
                             -0.05368424f, 0.20635419f, -0.1572035f, 0.035674877f};
  const Float one = V::broadcast(1.0f);
  const Float t = one / V::fma(V::abs(x), V::broadcast(0.3f), one);
  const Float bell = exp<V>(x * x * V::broadcast(-0.5f));
  const Float tail = bell * polynomial<V>(t, kTail);
  return {V::select(V::less(x, V::zero()), tail, one - tail), bell};
}

}  // namespace
}  // namespace fettle::vector
