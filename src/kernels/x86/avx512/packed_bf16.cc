#include "kernels/vector/packed_vectors.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"
#include "kernels/x86/avx512/vector_products.h"

namespace fettle::avx512 {
namespace {

// Weights are widened, inputs stay f32.
struct Bf16Product : FloatSums<Bf16Product> {
  static constexpr int64_t kStepBytes = 32;
  static Weights weights(const std::byte* p) {
    const __m256i half = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
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

}  // namespace fettle::avx512
