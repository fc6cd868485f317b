#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/neon/prepare_rows.h"
#include "kernels/arm/neon/vector_products.h"
#include "kernels/vector/packed_vectors.h"

namespace fettle::neon {
namespace {

// A step is two pairs of inputs by the same of 16 columns. Products are added in 16 bits before they are widened: two
// of them are at most 2 · 127 · 128 = 32512, which still fits.
struct Int8Product : Int8Sums<Int8Product> {
  static constexpr int kMaxRows = 4;
  static constexpr int panels_for(int rows) { return rows == 1 ? 3 : rows == 2 ? 2 : 1; }
  static constexpr int64_t kStepBytes = 64;
  // A pair in every lane of 16 bits.
  struct Input {
    int8x16_t first;
    int8x16_t second;
  };

  static Input input(const std::byte* p) {
    int16_t pairs[2];
    __builtin_memcpy(pairs, p, sizeof pairs);
    return {vreinterpretq_s8_s16(vdupq_n_s16(pairs[0])), vreinterpretq_s8_s16(vdupq_n_s16(pairs[1]))};
  }
  static int32x4_t add_low(int32x4_t sum, Input x, int8x16_t first, int8x16_t second) {
    const int16x8_t products = vmull_s8(vget_low_s8(first), vget_low_s8(x.first));
    return vpadalq_s16(sum, vmlal_s8(products, vget_low_s8(second), vget_low_s8(x.second)));
  }
  static int32x4_t add_high(int32x4_t sum, Input x, int8x16_t first, int8x16_t second) {
    return vpadalq_s16(sum, vmlal_high_s8(vmull_high_s8(first, x.first), second, x.second));
  }
  static Sum add(Sum sum, Input x, Weights w) {
    return {add_low(sum.v0, x, w.v0, w.v2), add_high(sum.v1, x, w.v0, w.v2), add_low(sum.v2, x, w.v1, w.v3),
            add_high(sum.v3, x, w.v1, w.v3)};
  }
};

constexpr PanelKernel kKernel{.weight_bytes = 1,
                              .k_group = 2,
                              .input_bytes = 1,
                              .k_multiple = 64,
                              .row_block = Int8Product::kMaxRows,
                              .prepare = prepare_int8,
                              .columns = vector_columns<Int8Product>};

}  // namespace

std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights) {
  return pack_int8_panels(weights, kKernel, install_training);
}

}  // namespace fettle::neon
