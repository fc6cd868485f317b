#include <cmath>
#include <cstdint>

#include "kernels/reference/kernels.h"

namespace fettle::reference {
namespace {

void normalize_row(const LayerNorm& args, int64_t row) {
  const int64_t width = args.width;
  float* y = args.y + row * width;
  for (int64_t c = 0; c < width; ++c) {
    y[c] = args.x[row * width + c] + (args.residual != nullptr ? args.residual[row * width + c] : 0.0f);
  }
  double mean = 0;
  for (int64_t c = 0; c < width; ++c) mean += y[c];
  mean /= static_cast<double>(width);
  double variance = 0;
  for (int64_t c = 0; c < width; ++c) variance += (y[c] - mean) * (y[c] - mean);
  const double rstd = 1 / std::sqrt(variance / static_cast<double>(width) + args.eps);
  for (int64_t c = 0; c < width; ++c) {
    y[c] = static_cast<float>((y[c] - mean) * rstd * args.gamma[c] + args.beta[c]);
  }
  if (args.mean != nullptr) args.mean[row] = static_cast<float>(mean);
  if (args.rstd != nullptr) args.rstd[row] = static_cast<float>(rstd);
}

void input_gradient_of_row(const LayerNormGrad& args, int64_t row) {
  const int64_t width = args.width;
  const float* x = args.x + row * width;
  const float* d_y = args.d_y + row * width;
  const double mean = args.mean[row];
  const double rstd = args.rstd[row];
  double sum = 0;       // Σ d_y γ
  double dot_norm = 0;  // Σ d_y γ x̂
  for (int64_t c = 0; c < width; ++c) {
    const double scaled = static_cast<double>(d_y[c]) * args.gamma[c];
    sum += scaled;
    dot_norm += scaled * (x[c] - mean) * rstd;
  }
  sum /= static_cast<double>(width);
  dot_norm /= static_cast<double>(width);
  for (int64_t c = 0; c < width; ++c) {
    const double scaled = static_cast<double>(d_y[c]) * args.gamma[c];
    args.d_x[row * width + c] = static_cast<float>(rstd * (scaled - sum - (x[c] - mean) * rstd * dot_norm));
  }
}

}  // namespace

void layer_norm(const LayerNorm& args, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) normalize_row(args, row);
}

void layer_norm_grad(const LayerNormGrad& args, ThreadPool& pool) {
  constexpr int64_t kColumnsPerTask = 64;
  // Columns first: d_x may be d_y.
  pool.parallel_ranges(args.width, kColumnsPerTask, [&](int64_t begin, int64_t end, int) {
    for (int64_t c = begin; c < end; ++c) {
      double d_gamma = 0;
      double d_beta = 0;
      for (int64_t row = 0; row < args.rows; ++row) {
        const double d_y = args.d_y[row * args.width + c];
        d_gamma += d_y * (static_cast<double>(args.x[row * args.width + c]) - args.mean[row]) * args.rstd[row];
        d_beta += d_y;
      }
      if (args.d_gamma != nullptr) args.d_gamma[c] = static_cast<float>(d_gamma);
      if (args.d_beta != nullptr) args.d_beta[c] = static_cast<float>(d_beta);
    }
  });
  pool.parallel_ranges(args.rows, 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) input_gradient_of_row(args, row);
  });
}

}  // namespace fettle::reference
