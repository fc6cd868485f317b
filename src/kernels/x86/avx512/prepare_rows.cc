#include "kernels/x86/avx512/prepare_rows.h"

#include <immintrin.h>

#include <bit>
#include <limits>

namespace fettle::avx512 {
namespace {

constexpr int64_t kLanes = 16;
constexpr uint32_t kInfinityBits = 0x7f800000;

__mmask16 first_lanes(int64_t n) {
  return n >= kLanes ? __mmask16(0xffff) : n <= 0 ? __mmask16(0) : static_cast<__mmask16>((1u << n) - 1);
}

// Values [k, k + 16) of a row of n, zero beyond its end.
__m512 load(const float* x, int64_t n, int64_t k) {
  return _mm512_maskz_loadu_ps(first_lanes(n - k), x + k);
}
__m512 load(const uint16_t* x, int64_t n, int64_t k) {
  const __m512i words = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(n - k), x + k));
  return _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
}

// Bits of the largest magnitude: as integers they order like the values, with infinities and NaNs above all numbers.
uint32_t absmax_bits(const float* x, int64_t n) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i largest[4] = {};
  int64_t k = 0;
  for (; k + 4 * kLanes <= n; k += 4 * kLanes) {
    for (int i = 0; i < 4; ++i) {
      const __m512i bits = _mm512_and_si512(_mm512_loadu_si512(x + k + i * kLanes), magnitude);
      largest[i] = _mm512_max_epu32(largest[i], bits);
    }
  }
  for (; k < n; k += kLanes) {
    largest[0] = _mm512_max_epu32(largest[0], _mm512_and_si512(_mm512_castps_si512(load(x, n, k)), magnitude));
  }
  const __m512i half0 = _mm512_max_epu32(largest[0], largest[1]);
  const __m512i half1 = _mm512_max_epu32(largest[2], largest[3]);
  return _mm512_reduce_max_epu32(_mm512_max_epu32(half0, half1));
}

// The same for bf16, whose bits are the upper ones.
uint32_t absmax_bits(const uint16_t* x, int64_t n) {
  constexpr int64_t kWords = 32;
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  __m512i largest[4] = {};
  int64_t k = 0;
  for (; k + 4 * kWords <= n; k += 4 * kWords) {
    for (int i = 0; i < 4; ++i) {
      const __m512i bits = _mm512_and_si512(_mm512_loadu_si512(x + k + i * kWords), magnitude);
      largest[i] = _mm512_max_epu16(largest[i], bits);
    }
  }
  for (; k < n; k += kWords) {
    const __mmask32 lanes = n - k >= kWords ? ~__mmask32{0} : (__mmask32{1} << (n - k)) - 1;
    largest[0] = _mm512_max_epu16(largest[0], _mm512_and_si512(_mm512_maskz_loadu_epi16(lanes, x + k), magnitude));
  }
  const __m512i half0 = _mm512_max_epu16(largest[0], largest[1]);
  const __m512i half1 = _mm512_max_epu16(largest[2], largest[3]);
  const __m512i all = _mm512_max_epu16(half0, half1);
  const __m512i pairs = _mm512_max_epu16(_mm512_slli_epi32(all, 16), all);  // in the upper halves
  return _mm512_reduce_max_epu32(pairs) & 0xffff0000u;
}

// How values become integers: by the scale of their row, which no value passes …
struct OwnScale {
  __m512 factor;

  __m512i integers(__m512 values) { return _mm512_cvtps_epi32(_mm512_mul_ps(values, factor)); }
  static __m512i cut8(__m512i q) { return q; }
  static __m512i cut16(__m512i q) { return q; }
};
// … or by one that was given: what passes it is cut. Above before the conversion, which overflows to the lowest
// integer; below after it, where packing has saturated. The magnitudes tell whether all values were numbers.
struct GivenScale {
  __m512 factor;
  __m512i largest = _mm512_setzero_si512();

  __m512i integers(__m512 values) {
    largest = _mm512_max_epu32(largest, _mm512_and_si512(_mm512_castps_si512(values), _mm512_set1_epi32(0x7fffffff)));
    return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_mul_ps(values, factor), _mm512_set1_ps(127)));
  }
  static __m512i cut8(__m512i q) { return _mm512_max_epi8(q, _mm512_set1_epi8(-127)); }
  static __m512i cut16(__m512i q) { return _mm512_max_epi16(q, _mm512_set1_epi16(-127)); }
  bool finite() const { return _mm512_reduce_max_epu32(largest) < kInfinityBits; }
};

// Elements [k, k + 64) as int8.
template <typename Value, typename Scale>
__m512i quantize64(const Value* x, int64_t n, int64_t k, Scale& scale) {
  const auto at = [&](int64_t i) { return scale.integers(load(x, n, k + i)); };
  const __m512i low = _mm512_packs_epi32(at(0), at(16));
  const __m512i high = _mm512_packs_epi32(at(32), at(48));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return scale.cut8(_mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high)));
}

struct AsInt8 {
  static constexpr int64_t kPerLine = 64;
  template <typename Value, typename Scale>
  static __m512i line(const Value* x, int64_t n, int64_t k, Scale& scale) {
    return quantize64(x, n, k, scale);
  }
};
struct AsUint8 {
  static constexpr int64_t kPerLine = 64;
  template <typename Value, typename Scale>
  static __m512i line(const Value* x, int64_t n, int64_t k, Scale& scale) {
    return _mm512_xor_si512(quantize64(x, n, k, scale), _mm512_set1_epi8(-128));
  }
};
struct AsInt16 {
  static constexpr int64_t kPerLine = 32;
  template <typename Value, typename Scale>
  static __m512i line(const Value* x, int64_t n, int64_t k, Scale& scale) {
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    const __m512i q = _mm512_packs_epi32(scale.integers(load(x, n, k)), scale.integers(load(x, n, k + 16)));
    return scale.cut16(_mm512_permutexvar_epi64(order, q));
  }
};

template <typename Format, typename Value>
void quantize_by_given(const PrepareRows& from, const Value* rows, std::byte* to, float* scales) {
  const int64_t line_stride = from.row_block * kLineBytes;
  for (int64_t r = 0; r < from.rows; ++r) {
    const Value* x = rows + r * from.ldx;
    GivenScale scale{_mm512_set1_ps(1.0f / from.input_scale)};
    std::byte* line = to + r * kLineBytes;
    for (int64_t k = 0; k < from.k_padded; k += Format::kPerLine, line += line_stride) {
      _mm512_store_si512(line, Format::line(x, from.in_features, k, scale));
    }
    scales[r] = scale.finite() ? from.input_scale : std::numeric_limits<float>::quiet_NaN();
  }
}

template <typename Format, typename Value>
void quantize(const PrepareRows& from, const Value* rows, std::byte* to, float* scales) {
  if (from.input_scale > 0) return quantize_by_given<Format>(from, rows, to, scales);
  const int64_t line_stride = from.row_block * kLineBytes;
  for (int64_t r = 0; r < from.rows; ++r) {
    const Value* x = rows + r * from.ldx;
    const uint32_t bits = absmax_bits(x, from.in_features);
    const bool finite = bits < kInfinityBits;
    const float absmax = finite ? std::bit_cast<float>(bits) : 0.0f;
    scales[r] = finite ? quantize_scale(absmax) : std::numeric_limits<float>::quiet_NaN();
    OwnScale scale{_mm512_set1_ps(quantize_factor(absmax))};
    // A row that is not finite is prepared as zeros: masking all lanes of it does that.
    const int64_t n = finite ? from.in_features : 0;
    std::byte* line = to + r * kLineBytes;
    for (int64_t k = 0; k < from.k_padded; k += Format::kPerLine, line += line_stride) {
      _mm512_store_si512(line, Format::line(x, n, k, scale));
    }
  }
}

}  // namespace

void prepare_f32(const PrepareRows& from, std::byte* to, float*) {
  const int64_t line_stride = from.row_block * kLineBytes;
  for (int64_t r = 0; r < from.rows; ++r) {
    const float* x = from.x + r * from.ldx;
    std::byte* line = to + r * kLineBytes;
    for (int64_t k = 0; k < from.k_padded; k += kLanes, line += line_stride) {
      _mm512_store_ps(line, load(x, from.in_features, k));
    }
  }
}

void prepare_int8(const PrepareRows& from, std::byte* to, float* scales) {
  quantize<AsInt8>(from, from.x, to, scales);
}
void prepare_int8_of_bf16(const PrepareRows& from, std::byte* to, float* scales) {
  quantize<AsInt8>(from, from.x_bf16, to, scales);
}
void prepare_uint8(const PrepareRows& from, std::byte* to, float* scales) {
  quantize<AsUint8>(from, from.x, to, scales);
}
void prepare_uint8_of_bf16(const PrepareRows& from, std::byte* to, float* scales) {
  quantize<AsUint8>(from, from.x_bf16, to, scales);
}
void prepare_int16(const PrepareRows& from, std::byte* to, float* scales) {
  quantize<AsInt16>(from, from.x, to, scales);
}

}  // namespace fettle::avx512
