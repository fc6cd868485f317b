#include "kernels/x86/avx2/prepare_rows.h"

#include <immintrin.h>

#include <limits>

namespace fettle::avx2 {
namespace {

constexpr int64_t kLanes = 8;
constexpr uint32_t kInfinityBits = 0x7f800000;

// Values [k, k + 8) of a row of n, zero beyond its end.
__m256 load(const float* x, int64_t n, int64_t k) {
  const int64_t left = n - k;
  if (left >= kLanes) return _mm256_loadu_ps(x + k);
  const int wanted = left > 0 ? static_cast<int>(left) : 0;
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_maskload_ps(x + k, _mm256_cmpgt_epi32(_mm256_set1_epi32(wanted), lane));
}

uint32_t largest_of(__m256i largest) {
  __m128i four = _mm_max_epu32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
  four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
  four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0xb1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(four));
}

__m256i magnitudes(__m256 values) {
  return _mm256_and_si256(_mm256_castps_si256(values), _mm256_set1_epi32(0x7fffffff));
}

// Bits of the largest magnitude: as integers they order like the values, with infinities and NaNs above all numbers.
uint32_t absmax_bits(const float* x, int64_t n) {
  __m256i largest = _mm256_setzero_si256();
  for (int64_t k = 0; k < n; k += kLanes) largest = _mm256_max_epu32(largest, magnitudes(load(x, n, k)));
  return largest_of(largest);
}

// How values become integers, as for AVX-512: by the scale of their row, or by one that was given, which cuts.
struct OwnScale {
  __m256 factor;

  __m256i integers(__m256 values) { return _mm256_cvtps_epi32(_mm256_mul_ps(values, factor)); }
  static __m256i cut(__m256i q) { return q; }
};
struct GivenScale {
  __m256 factor;
  __m256i largest = _mm256_setzero_si256();

  __m256i integers(__m256 values) {
    largest = _mm256_max_epu32(largest, magnitudes(values));
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_mul_ps(values, factor), _mm256_set1_ps(127)));
  }
  static __m256i cut(__m256i q) { return _mm256_max_epi16(q, _mm256_set1_epi16(-127)); }
  bool finite() const { return largest_of(largest) < kInfinityBits; }
};

// Elements [k, k + 16).
template <typename Scale>
__m256i quantize16(const float* x, int64_t n, int64_t k, Scale& scale) {
  const __m256i low = scale.integers(load(x, n, k));
  const __m256i high = scale.integers(load(x, n, k + kLanes));
  return scale.cut(_mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8));
}

// The lines of one row of n values.
template <typename Scale>
void quantize_row(const PrepareRows& from, const float* x, int64_t n, Scale& scale, std::byte* line) {
  const int64_t line_stride = from.row_block * kLineBytes;
  for (int64_t k = 0; k < from.k_padded; k += 32, line += line_stride) {
    auto* out = reinterpret_cast<__m256i*>(line);
    _mm256_store_si256(out, quantize16(x, n, k, scale));
    _mm256_store_si256(out + 1, quantize16(x, n, k + 16, scale));
  }
}

void quantize_by_given(const PrepareRows& from, std::byte* to, float* scales) {
  for (int64_t r = 0; r < from.rows; ++r) {
    GivenScale scale{_mm256_set1_ps(1.0f / from.input_scale)};
    quantize_row(from, from.x + r * from.ldx, from.in_features, scale, to + r * kLineBytes);
    scales[r] = scale.finite() ? from.input_scale : std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace

void prepare_f32(const PrepareRows& from, std::byte* to, float*) {
  const int64_t line_stride = from.row_block * kLineBytes;
  for (int64_t r = 0; r < from.rows; ++r) {
    const float* x = from.x + r * from.ldx;
    std::byte* line = to + r * kLineBytes;
    for (int64_t k = 0; k < from.k_padded; k += 2 * kLanes, line += line_stride) {
      auto* out = reinterpret_cast<float*>(line);
      _mm256_store_ps(out, load(x, from.in_features, k));
      _mm256_store_ps(out + kLanes, load(x, from.in_features, k + kLanes));
    }
  }
}

void prepare_int16(const PrepareRows& from, std::byte* to, float* scales) {
  if (from.input_scale > 0) return quantize_by_given(from, to, scales);
  for (int64_t r = 0; r < from.rows; ++r) {
    const float* x = from.x + r * from.ldx;
    const uint32_t bits = absmax_bits(x, from.in_features);
    const bool finite = bits < kInfinityBits;
    float absmax = 0;
    if (finite) __builtin_memcpy(&absmax, &bits, sizeof absmax);
    scales[r] = finite ? quantize_scale(absmax) : std::numeric_limits<float>::quiet_NaN();
    OwnScale scale{_mm256_set1_ps(quantize_factor(absmax))};
    // A row that is not finite is prepared as zeros: masking all lanes of it does that.
    const int64_t n = finite ? from.in_features : 0;
    quantize_row(from, x, n, scale, to + r * kLineBytes);
  }
}

}  // namespace fettle::avx2
