#include "kernels/packed_quads.h"

#include "kernels/x86/avx2/quad_rows.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"
#include "kernels/x86/avx512/quad_products.h"

namespace fettle::avx512 {
namespace {

// Both operands are widened to 16 bits (packed_int8.cc); a row's sum is in two neighbouring lanes.
struct Quads : QuadSums<Quads> {
  static constexpr int kVectors = 2;
  static constexpr int kMaxBlocks = 2;
  static constexpr int64_t kQuadBytes = 128;

  static Weights weights(const std::byte* p) { return _mm512_cvtepi8_epi16(_mm256_set1_epi32(quad(p))); }
  static Sum add(Sum sum, const std::byte* x, Weights weights) {
    return sum + (Sum)_mm512_madd_epi16(_mm512_load_si512(x), weights);
  }
  static void finish(const QuadTile& tile) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    finish_tile(tile, [&](int i) {
      const __m512i low = _mm512_load_si512(tile.sums + i * tile.stride);
      const __m512i high = _mm512_load_si512(tile.sums + i * tile.stride + kSumBytes);
      return _mm512_add_epi32(_mm512_permutex2var_epi32(low, even, high), _mm512_permutex2var_epi32(low, odd, high));
    });
  }
  static void to_bf16(const float*, uint16_t*, int64_t) {}
};

void prepare(const PrepareRows& from, std::byte* to, float* scales) {
  prepare_int16(from, to, scales);
  avx2::turn_quads(to, 2 * from.k_padded * kBlockRows);
}

constexpr QuadKernel kKernel{
    .input_bytes = 2, .max_blocks = Quads::kMaxBlocks, .prepare = prepare, .groups = quad_groups<Quads>};

}  // namespace

std::unique_ptr<PackedLinear> pack_sparse_int8(const LinearWeights& weights) {
  return pack_int8_quads(weights, kKernel, install_training);
}

}  // namespace fettle::avx512
