#include <utility>
#include <vector>

#include "kernels/packed_panels.h"
#include "kernels/reference/kernels.h"
#include "kernels/reference/packed_linear.h"

namespace fettle::reference {
namespace {

class PlainF32 : public PackedLinear {
 public:
  explicit PlainF32(PlainWeights<float> weights) : w_(std::move(weights)) {}

  void run(const float* x, int64_t ldx, int64_t rows, float* y, int64_t ldy, Activation activation,
           const float* residual, ThreadPool& pool) const override {
    pool.parallel_for(rows, [&](int64_t r, int) {
      std::vector<float> out(static_cast<size_t>(w_.out_features));
      for (int64_t o = 0; o < w_.out_features; ++o) {
        float sum = 0;
        for (int64_t i = 0; i < w_.in_features; ++i) sum += x[r * ldx + i] * w_.row(o)[i];
        out[static_cast<size_t>(o)] = sum + w_.bias(o);
      }
      finish_row(out, activation, residual == nullptr ? nullptr : residual + r * ldy, y + r * ldy);
    });
  }
  int64_t size_bytes() const override { return std::ssize(w_.image()); }
  std::span<const std::byte> image() const override { return w_.image(); }

 private:
  PlainWeights<float> w_;
};

}  // namespace

void finish_row(std::vector<float>& values, Activation activation, const float* residual, float* y) {
  const auto n = static_cast<int64_t>(values.size());
  if (activation != Activation::kNone) activate(activation, values.data(), values.data(), n);
  for (int64_t i = 0; i < n; ++i) {
    const float value = values[static_cast<size_t>(i)];
    y[i] = residual == nullptr ? value : value + residual[i];
  }
}

std::unique_ptr<PackedLinear> pack_f32(const LinearWeights& weights) {
  check_linear_weights(weights);
  return std::make_unique<PlainF32>(PlainWeights<float>(weights));
}

}  // namespace fettle::reference
