#include <utility>

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
      float* out = y + r * ldy;
      for (int64_t o = 0; o < w_.out_features; ++o) {
        float sum = 0;
        for (int64_t i = 0; i < w_.in_features; ++i) sum += x[r * ldx + i] * w_.row(o)[i];
        out[o] = sum + w_.bias[o];
      }
      finish_row(out, w_.out_features, activation, residual == nullptr ? nullptr : residual + r * ldy);
    });
  }
  int64_t size_bytes() const override { return w_.size_bytes(); }

 private:
  PlainWeights<float> w_;
};

}  // namespace

void finish_row(float* y, int64_t n, Activation activation, const float* residual) {
  if (activation != Activation::kNone) activate(activation, y, y, n);
  if (residual != nullptr) add(y, residual, y, n);
}

std::unique_ptr<PackedLinear> pack_f32(const LinearWeights& weights) {
  check_linear_weights(weights);
  return std::make_unique<PlainF32>(PlainWeights<float>(weights));
}

}  // namespace fettle::reference
