#include <cmath>
#include <cstdint>
#include <numbers>

#include "kernels/reference/kernels.h"

namespace fettle::reference {
namespace {

// Hendrycks & Gimpel 2016: x Φ(x), and its tanh approximation.
const double kTanhScale = std::sqrt(2 / std::numbers::pi);
constexpr double kTanhCubic = 0.044715;

double normal_cdf(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}
double normal_pdf(double x) {
  return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
}

double value(Activation kind, double x) {
  switch (kind) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return x < 0 ? 0 : x;
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kGelu:
      return x * normal_cdf(x);
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(kTanhScale * (x + kTanhCubic * x * x * x)));
  }
  return x;
}

double derivative(Activation kind, double x) {
  switch (kind) {
    case Activation::kNone:
      return 1;
    case Activation::kRelu:
      return x > 0 ? 1 : 0;
    case Activation::kTanh:
      return 1 - std::tanh(x) * std::tanh(x);
    case Activation::kGelu:
      return normal_cdf(x) + x * normal_pdf(x);
    case Activation::kGeluTanh: {
      const double t = std::tanh(kTanhScale * (x + kTanhCubic * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kTanhScale * (1 + 3 * kTanhCubic * x * x);
    }
  }
  return 1;
}

}  // namespace

void activate(Activation kind, const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(value(kind, x[i]));
}

void activate_grad(Activation kind, const float* x, const float* d_y, float* d_x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) d_x[i] = static_cast<float>(d_y[i] * derivative(kind, x[i]));
}

}  // namespace fettle::reference
