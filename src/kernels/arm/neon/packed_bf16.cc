#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/neon/prepare_rows.h"
#include "kernels/arm/neon/vector_products.h"
#include "kernels/vector/packed_vectors.h"

namespace fettle::neon {
namespace {

// Weights are widened, inputs stay f32.
struct Bf16Product : FloatSums<Bf16Product> {
  static constexpr int64_t kStepBytes = 32;
  static float32x4_t widen(uint16x4_t bits) { return vreinterpretq_f32_u32(vshll_n_u16(bits, 16)); }
  static Weights weights(const std::byte* p) {
    const auto* w = reinterpret_cast<const uint16_t*>(p);
    const uint16x8_t low = vld1q_u16(w);
    const uint16x8_t high = vld1q_u16(w + 8);
    return {widen(vget_low_u16(low)), widen(vget_high_u16(low)), widen(vget_low_u16(high)), widen(vget_high_u16(high))};
  }
};

constexpr PanelKernel kKernel{.weight_bytes = 2,
                              .k_group = 1,
                              .input_bytes = 4,
                              .k_multiple = 16,
                              .row_block = kVectorRows,
                              .prepare = prepare_f32,
                              .columns = vector_columns<Bf16Product>};

}  // namespace

std::unique_ptr<PackedLinear> pack_bf16(const LinearWeights& weights) {
  return pack_panels(weights, kKernel, install_training);
}

}  // namespace fettle::neon
