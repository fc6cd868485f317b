#include "kernels/x86/amx/pack_tiles.h"

#include <immintrin.h>

#include "kernels/vector/prefetch.h"

namespace fettle::amx {
namespace {

constexpr int kRows = 16;
constexpr int64_t kTileValues = 512;
// The hardware does not keep up with so many rows read side by side. Fetching what does not exist does no harm.
constexpr int64_t kAheadTiles = 4;  // how far along its rows a matrix is fetched before it is read

__mmask16 first(int64_t n) {
  return n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1);
}

__m512i round_two(__m512 low, __m512 high) {
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

// Element (i, j) of a 16 × 16 block of 32-bit words becomes (j, i).
void transpose(__m512i (&r)[kRows]) {
  __m512i t[kRows];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512i a = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    const __m512i b = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    const __m512i c = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]);
    const __m512i d = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
    t[i] = _mm512_unpacklo_epi64(a, c);
    t[i + 1] = _mm512_unpackhi_epi64(a, c);
    t[i + 2] = _mm512_unpacklo_epi64(b, d);
    t[i + 3] = _mm512_unpackhi_epi64(b, d);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88);
    const __m512i b = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
    const __m512i c = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
    const __m512i d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);
    r[i] = _mm512_shuffle_i32x4(a, b, 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(a, b, 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(c, d, 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(c, d, 0xdd);
  }
}

// Row i: 32 consecutive elements of line i.
void load_lines(const TileSource& source, int64_t line, int64_t depth, __m512i (&r)[kRows]) {
  const float* data = source.data + line * source.stride + depth;
  if (line + 16 <= source.lines && depth + kDepth <= source.depth) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const float* row = data + i * source.stride;
      prefetch_near(row + kAheadTiles * kDepth);
      prefetch_near(row + kAheadTiles * kDepth + 16);
      r[i] = round_two(_mm512_loadu_ps(row), _mm512_loadu_ps(row + 16));
    }
    return;
  }
  const __mmask16 low = first(source.depth - depth);
  const __mmask16 high = first(source.depth - depth - 16);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const float* row = data + i * source.stride;
    const bool inside = line + i < source.lines;
    r[i] = round_two(_mm512_maskz_loadu_ps(inside ? low : 0, row), _mm512_maskz_loadu_ps(inside ? high : 0, row + 16));
  }
}

// The two halves of 16 words, word by word in turns.
__m512i interleave(__m512i halves) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, halves);
}

// Row i: elements 2i and 2i + 1 of 16 lines, pair by pair.
void load_pairs(const TileSource& source, int64_t line, int64_t depth, __m512i (&r)[kRows]) {
  const float* data = source.data + depth * source.stride + line;
  const __mmask16 lines = first(source.lines - line);
  const int64_t rest = source.depth - depth;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const float* row = data + 2 * i * source.stride;
    prefetch_near(row + kDepth * source.stride);
    prefetch_near(row + (kDepth + 1) * source.stride);
    const __m512 even = _mm512_maskz_loadu_ps(2 * i < rest ? lines : 0, row);
    const __m512 odd = _mm512_maskz_loadu_ps(2 * i + 1 < rest ? lines : 0, row + source.stride);
    r[i] = interleave(round_two(even, odd));
  }
}

// The same of values that are bf16 already.
void load_bf16_lines(const TileSource& source, int64_t line, int64_t depth, __m512i (&r)[kRows]) {
  const uint16_t* data = source.data_bf16 + line * source.stride + depth;
  const int64_t left = source.depth - depth;
  const __mmask32 values = left >= kDepth ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    r[i] = _mm512_maskz_loadu_epi16(line + i < source.lines ? values : 0, data + i * source.stride);
  }
}

void load_bf16_pairs(const TileSource& source, int64_t line, int64_t depth, __m512i (&r)[kRows]) {
  const uint16_t* data = source.data_bf16 + depth * source.stride + line;
  const __mmask16 lines = first(source.lines - line);
  const int64_t rest = source.depth - depth;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const uint16_t* row = data + 2 * i * source.stride;
    const __m256i even = _mm256_maskz_loadu_epi16(2 * i < rest ? lines : 0, row);
    const __m256i odd = _mm256_maskz_loadu_epi16(2 * i + 1 < rest ? lines : 0, row + source.stride);
    r[i] = interleave(_mm512_inserti64x4(_mm512_castsi256_si512(even), odd, 1));
  }
}

void load(const TileSource& source, int64_t line, int64_t depth, __m512i (&r)[kRows]) {
  if (source.data_bf16 != nullptr) {
    if (source.lines_are_rows) return load_bf16_lines(source, line, depth, r);
    return load_bf16_pairs(source, line, depth, r);
  }
  if (source.lines_are_rows) return load_lines(source, line, depth, r);
  load_pairs(source, line, depth, r);
}

void store(const __m512i (&r)[kRows], uint16_t* out) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) _mm512_store_si512(out + i * 32, r[i]);
}

}  // namespace

void pack_tiles(const TileSource& source, TileForm form, const TileRange& range, int64_t panel_tiles, uint16_t* out) {
  const bool transposed = source.lines_are_rows != (form == TileForm::kLeft);
  const auto pack_tile = [&](int64_t panel, int64_t tile) {
    __m512i r[kRows];
    load(source, panel * 16, tile * kDepth, r);
    if (transposed) transpose(r);
    store(r, out + ((panel - range.panel_begin) * panel_tiles + tile - range.tile_begin) * kTileValues);
  };
  // In the order of the stored rows.
  if (source.lines_are_rows) {
    for (int64_t panel = range.panel_begin; panel < range.panel_end; ++panel) {
      for (int64_t tile = range.tile_begin; tile < range.tile_end; ++tile) pack_tile(panel, tile);
    }
    return;
  }
  for (int64_t tile = range.tile_begin; tile < range.tile_end; ++tile) {
    for (int64_t panel = range.panel_begin; panel < range.panel_end; ++panel) pack_tile(panel, tile);
  }
}

}  // namespace fettle::amx
