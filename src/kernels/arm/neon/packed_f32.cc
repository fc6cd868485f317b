#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/neon/prepare_rows.h"
#include "kernels/arm/neon/vector_products.h"
#include "kernels/vector/packed_vectors.h"

namespace fettle::neon {
namespace {

struct F32Product : FloatSums<F32Product> {
  static constexpr int64_t kStepBytes = 64;
  static Weights weights(const std::byte* p) { return load(reinterpret_cast<const float*>(p)); }
};

constexpr PanelKernel kKernel{.weight_bytes = 4,
                              .k_group = 1,
                              .input_bytes = 4,
                              .k_multiple = 16,
                              .row_block = kVectorRows,
                              .prepare = prepare_f32,
                              .columns = vector_columns<F32Product>};

}  // namespace

std::unique_ptr<PackedLinear> pack_f32(const LinearWeights& weights) {
  return pack_panels(weights, kKernel, install_training);
}

}  // namespace fettle::neon
