#include "kernels/vector/packed_vectors.h"
#include "kernels/x86/avx2/kernels.h"
#include "kernels/x86/avx2/prepare_rows.h"
#include "kernels/x86/avx2/vector_products.h"

namespace fettle::avx2 {
namespace {

// Weights are widened, inputs stay f32.
struct Bf16Product : FloatSums<Bf16Product> {
  static constexpr int64_t kStepBytes = 32;
  static __m256 widen(const std::byte* p) {
    const __m128i half = _mm_load_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
  }
  static Weights weights(const std::byte* p) { return {widen(p), widen(p + 16)}; }
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

}  // namespace fettle::avx2
