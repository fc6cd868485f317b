#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/packed_panels.h"
#include "kernels/reference/kernels.h"
#include "kernels/reference/packed_linear.h"

namespace fettle::reference {
namespace {

// The rule is told at quantize_factor in kernels/packed_panels.h; input_scale 0: the row's own. Returns the scale of
// the row.
float quantize_row(const float* x, int64_t n, float input_scale, int8_t* q) {
  float absmax = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) {
      std::fill_n(q, n, int8_t{0});
      return std::numeric_limits<float>::quiet_NaN();
    }
    absmax = std::max(absmax, std::fabs(x[i]));
  }
  const bool is_given = input_scale > 0;
  const float factor = is_given ? 1.0f / input_scale : quantize_factor(absmax);
  for (int64_t i = 0; i < n; ++i) {
    q[i] = static_cast<int8_t>(std::clamp(std::nearbyint(x[i] * factor), -127.0f, 127.0f));
  }
  return is_given ? input_scale : quantize_scale(absmax);
}

class PlainInt8 : public PackedLinear {
 public:
  PlainInt8(PlainWeights<int8_t> weights, float input_scale) : w_(std::move(weights)), input_scale_(input_scale) {}

  void run(const float* x, int64_t ldx, int64_t rows, float* y, int64_t ldy, Activation activation,
           const float* residual, ThreadPool& pool) const override {
    pool.parallel_for(rows, [&](int64_t r, int) {
      std::vector<int8_t> q(static_cast<size_t>(w_.in_features));
      const float scale = quantize_row(x + r * ldx, w_.in_features, input_scale_, q.data());
      std::vector<float> out(static_cast<size_t>(w_.out_features));
      for (int64_t o = 0; o < w_.out_features; ++o) {
        int32_t sum = 0;
        for (int64_t i = 0; i < w_.in_features; ++i) sum += int32_t{q[i]} * w_.row(o)[i];
        out[static_cast<size_t>(o)] = static_cast<float>(sum) * (scale * w_.scale(o)) + w_.bias(o);
      }
      finish_row(out, activation, residual == nullptr ? nullptr : residual + r * ldy, y + r * ldy);
    });
  }
  int64_t size_bytes() const override { return std::ssize(w_.image()); }
  std::span<const std::byte> image() const override { return w_.image(); }

 private:
  PlainWeights<int8_t> w_;
  float input_scale_;
};

}  // namespace

std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights) {
  check_int8_weights(weights);
  return std::make_unique<PlainInt8>(PlainWeights<int8_t>(weights, true), weights.input_scale);
}

}  // namespace fettle::reference
