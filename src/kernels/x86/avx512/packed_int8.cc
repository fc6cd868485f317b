#include "kernels/vector/packed_vectors.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"
#include "kernels/x86/avx512/vector_products.h"

namespace fettle::avx512 {
namespace {

// Products of 8-bit numbers in pairs (vpmaddubsw) saturate; both operands are widened to 16 bits, which is exact.
struct Int8Product : Int8Sums<Int8Product> {
  static constexpr int64_t kStepBytes = 32;
  static Weights weights(const std::byte* p) {
    return _mm512_cvtepi8_epi16(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Sum add(Sum sum, Input input, Weights weights) { return sum + (Sum)_mm512_madd_epi16(input, weights); }
  static void finish(float* to, Sum sum, const Column& column, float row_scale) {
    finish_as<false>(to, sum, column, row_scale);
  }
};

constexpr PanelKernel kKernel{.weight_bytes = 1,
                              .k_group = 2,
                              .input_bytes = 2,
                              .k_multiple = 32,
                              .row_block = kVectorRows,
                              .prepare = prepare_int16,
                              .columns = vector_columns<Int8Product>};

}  // namespace

std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights) {
  return pack_int8_panels(weights, kKernel, install_training);
}

}  // namespace fettle::avx512
