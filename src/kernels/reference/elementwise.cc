#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/reference/kernels.h"

namespace fettle::reference {

void add(const float* a, const float* b, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

void scale(const float* x, float factor, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * factor;
}

void add_bias(const float* x, const float* bias, float* y, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < width; ++c) y[r * width + c] = x[r * width + c] + bias[c];
  }
}

void sum_rows(const float* x, int64_t rows, int64_t ldx, float* y, int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end; ++c) {
    float sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += x[r * ldx + c];
    y[c] = sum;
  }
}

void dropout(const float* x, float* y, int64_t n, float p, uint64_t seed, uint64_t stream, uint64_t first) {
  const float factor = 1.0f / (1.0f - p);
  for (int64_t i = 0; i < n; ++i) {
    y[i] = dropout_keep(seed, stream, first + static_cast<uint64_t>(i), p) ? x[i] * factor : 0.0f;
  }
}

double sum_of_squares(const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

void adamw(const AdamwStep& step, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const double g = static_cast<double>(step.grad[i]) * step.grad_scale;
    const double m = step.beta1 * static_cast<double>(step.m[i]) + (1.0 - step.beta1) * g;
    const double v = step.beta2 * static_cast<double>(step.v[i]) + (1.0 - step.beta2) * g * g;
    step.m[i] = static_cast<float>(m);
    step.v[i] = static_cast<float>(v);
    const double update = m / step.bias1 / (std::sqrt(v / step.bias2) + step.eps);
    const double weight = step.weight[i];
    step.weight[i] = static_cast<float>(weight - step.lr * (update + step.weight_decay * weight));
  }
}

void adamw_idle(const AdamwRow& row, const AdamwStep* steps, int64_t n_steps) {
  const std::vector<float> zeros(static_cast<size_t>(row.n));
  for (int64_t s = 0; s < n_steps; ++s) {
    AdamwStep step = steps[s];
    step.weight = row.weight;
    step.grad = zeros.data();
    step.m = row.m;
    step.v = row.v;
    adamw(step, 0, row.n);
  }
}

void gather(const float* table, const int32_t* ids, int64_t rows, int64_t width, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(y + r * width, table + ids[r] * width, static_cast<size_t>(width) * sizeof(float));
  }
}

}  // namespace fettle::reference
