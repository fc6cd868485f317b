#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/neon/prepare_rows.h"
#include "kernels/arm/neon/vector_products.h"
#include "kernels/arm/neon_dot/kernels.h"
#include "kernels/vector/packed_vectors.h"

namespace fettle::neon_dot {
namespace {

struct Int8Product : neon::Int8Sums<Int8Product> {
  static constexpr int kMaxRows = neon::kVectorRows;
  static constexpr int panels_for(int rows) { return neon::vector_panels(rows); }
  static constexpr int64_t kStepBytes = 64;
  using Input = int8x8_t;  // four inputs in the first lane of 32 bits

  static Input input(const std::byte* p) {
    uint32_t value;
    __builtin_memcpy(&value, p, sizeof value);
    return vcreate_s8(value);
  }
  static Sum add(Sum sum, Input x, Weights w) {
    return {vdotq_lane_s32(sum.v0, w.v0, x, 0), vdotq_lane_s32(sum.v1, w.v1, x, 0), vdotq_lane_s32(sum.v2, w.v2, x, 0),
            vdotq_lane_s32(sum.v3, w.v3, x, 0)};
  }
};

constexpr PanelKernel kKernel{.weight_bytes = 1,
                              .k_group = 4,
                              .input_bytes = 1,
                              .k_multiple = 64,
                              .row_block = Int8Product::kMaxRows,
                              .prepare = neon::prepare_int8,
                              .columns = vector_columns<Int8Product>};

}  // namespace

std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights) {
  return pack_int8_panels(weights, kKernel, neon::install_training);
}

}  // namespace fettle::neon_dot
