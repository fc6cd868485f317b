#include "kernels/packed_quads.h"

#include "kernels/vector/packed_quads.inl.h"
#include "kernels/x86/avx2/kernels.h"
#include "kernels/x86/avx2/prepare_rows.h"
#include "kernels/x86/avx2/quad_rows.h"

namespace fettle::avx2 {
namespace {

// Lane j of v[i] becomes lane i of v[j].
void transpose8(__m256 (&v)[8]) {
  __m256 t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    v[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    v[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    v[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    v[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x31);
  }
  for (int i = 0; i < 8; ++i) v[i] = t[i];
}

// Both operands are widened to 16 bits (packed_int8.cc); a row's sum is in two neighbouring lanes.
struct Quads {
  static constexpr int kVectors = 4;
  static constexpr int kMaxBlocks = 1;
  static constexpr int kMostVectors = 2;
  static constexpr int64_t kQuadBytes = 128;
  static constexpr int64_t kSumBytes = 32;
  using Sum __attribute__((vector_size(32))) = int32_t;
  using Weights = __m256i;

  static Sum zero() { return Sum{}; }
  static Weights weights(const std::byte* p) {
    int32_t quad;
    __builtin_memcpy(&quad, p, sizeof quad);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(quad));
  }
  static __m256i vector(const std::byte* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
  static Sum add(Sum sum, const std::byte* x, Weights weights) {
    return sum + (Sum)_mm256_madd_epi16(vector(x), weights);
  }
  static Sum load(const std::byte* p) { return (Sum)vector(p); }
  static void store(std::byte* p, Sum sum) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), (__m256i)sum); }

  // Eight rows by eight outputs.
  static void finish_eight(const QuadTile& tile, int row, int output) {
    const __m256 row_scales = _mm256_loadu_ps(tile.row_scales + row);
    __m256 values[8];
    for (int i = 0; i < 8; ++i) {
      const std::byte* const sums = tile.sums + (output + i) * tile.stride + row / 4 * kSumBytes;
      const __m256i pairs = _mm256_hadd_epi32(vector(sums), vector(sums + kSumBytes));
      const __m256i in_order = _mm256_permute4x64_epi64(pairs, 0xd8);
      const __m256 scale = _mm256_mul_ps(row_scales, _mm256_set1_ps(tile.scales[output + i]));
      const __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(in_order), scale);
      values[i] = _mm256_add_ps(value, _mm256_set1_ps(tile.bias[output + i]));
    }
    transpose8(values);
    for (int i = 0; i < 8; ++i) _mm256_storeu_ps(tile.to + (row + i) * tile.to_stride + output, values[i]);
  }
  static void finish(const QuadTile& tile) {
    for (int row = 0; row < 16; row += 8) {
      for (int output = 0; output < 16; output += 8) finish_eight(tile, row, output);
    }
  }
  static void to_bf16(const float*, uint16_t*, int64_t) {}
};

void prepare(const PrepareRows& from, std::byte* to, float* scales) {
  prepare_int16(from, to, scales);
  turn_quads(to, 2 * from.k_padded * kBlockRows);
}

constexpr QuadKernel kKernel{
    .input_bytes = 2, .max_blocks = Quads::kMaxBlocks, .prepare = prepare, .groups = quad_groups<Quads>};

}  // namespace

std::unique_ptr<PackedLinear> pack_sparse_int8(const LinearWeights& weights) {
  return pack_int8_quads(weights, kKernel, install_training);
}

}  // namespace fettle::avx2
