#include <utility>
#include <vector>

#include "kernels/packed_panels.h"
#include "kernels/reference/kernels.h"
#include "kernels/reference/packed_linear.h"
#include "tensor/dtype.h"

namespace fettle::reference {
namespace {

class PlainBf16 : public PackedLinear {
 public:
  explicit PlainBf16(PlainWeights<uint16_t> weights) : w_(std::move(weights)) {}

  void run(const float* x, int64_t ldx, int64_t rows, float* y, int64_t ldy, Activation activation,
           const float* residual, ThreadPool& pool) const override {
    pool.parallel_for(rows, [&](int64_t r, int) {
      std::vector<float> out(static_cast<size_t>(w_.out_features));
      for (int64_t o = 0; o < w_.out_features; ++o) {
        float sum = 0;
        for (int64_t i = 0; i < w_.in_features; ++i) sum += x[r * ldx + i] * bf16_to_f32(w_.row(o)[i]);
        out[static_cast<size_t>(o)] = sum + w_.bias(o);
      }
      finish_row(out, activation, residual == nullptr ? nullptr : residual + r * ldy, y + r * ldy);
    });
  }
  int64_t size_bytes() const override { return std::ssize(w_.image()); }
  std::span<const std::byte> image() const override { return w_.image(); }

 private:
  PlainWeights<uint16_t> w_;
};

}  // namespace

std::unique_ptr<PackedLinear> pack_bf16(const LinearWeights& weights) {
  check_linear_weights(weights);
  return std::make_unique<PlainBf16>(PlainWeights<uint16_t>(weights));
}

}  // namespace fettle::reference
