#include "kernels/vector/packed_vectors.h"
#include "kernels/x86/avx2/kernels.h"
#include "kernels/x86/avx2/prepare_rows.h"
#include "kernels/x86/avx2/vector_products.h"

namespace fettle::avx2 {
namespace {

// Products of 8-bit numbers in pairs (vpmaddubsw) saturate; both operands are widened to 16 bits, which is exact.
struct Int8Product {
  static constexpr int kMaxRows = kVectorRows;
  static constexpr int64_t kStepBytes = 32;
  static constexpr int panels_for(int rows) { return vector_panels(rows); }
  using Sum = IntSums;
  using Weights = IntPair;
  using Input = __m256i;
  struct Column {
    FloatPair scale;
    FloatPair bias;
  };

  static Sum zero() { return {Ints{}, Ints{}}; }
  static Input input(const std::byte* p) {
    int32_t value;
    __builtin_memcpy(&value, p, sizeof value);
    return _mm256_set1_epi32(value);
  }
  static __m256i widen(const std::byte* p) {
    return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Weights weights(const std::byte* p) { return {widen(p), widen(p + 16)}; }
  static Sum add(Sum sum, Input input, Weights weights) {
    return {sum.low + (Ints)_mm256_madd_epi16(input, weights.low),
            sum.high + (Ints)_mm256_madd_epi16(input, weights.high)};
  }
  static Column column(const PanelWeights& w, int64_t c) {
    return {{_mm256_loadu_ps(w.scales + c), _mm256_loadu_ps(w.scales + c + 8)},
            {_mm256_loadu_ps(w.bias + c), _mm256_loadu_ps(w.bias + c + 8)}};
  }
  static __m256 finished(Ints sum, __m256 scale, __m256 bias, __m256 row_scale) {
    return _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps((__m256i)sum), _mm256_mul_ps(row_scale, scale)), bias);
  }
  static void finish(float* to, Sum sum, const Column& column, float row_scale) {
    const __m256 row = _mm256_set1_ps(row_scale);
    _mm256_storeu_ps(to, finished(sum.low, column.scale.low, column.bias.low, row));
    _mm256_storeu_ps(to + 8, finished(sum.high, column.scale.high, column.bias.high, row));
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

}  // namespace fettle::avx2
