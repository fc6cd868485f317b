// What goes on beside the tile products of matmul_bf16: reading ahead and writing back, a little at a time.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/vector/prefetch.h"
#include "kernels/x86/amx/pack_tiles.h"

namespace fettle::amx {
namespace {

constexpr int64_t kTilesOfBlock = 2;          // of C, that are summed at once
constexpr int64_t kStreamedValues = 1 << 18;  // of C, from which on it is written past the caches

inline int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
inline int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}
inline int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
inline int64_t round_up(int64_t a, int64_t b) {
  return divide_up(a, b) * b;
}

// Fetches the lines of a part of a matrix into the second-level cache, a few at each call.
class SourceFetch {
 public:
  SourceFetch() = default;
  // Panels [begin, end), tiles [tile, tile_end) of the source.
  SourceFetch(const TileSource& source, const TileRange& range) {
    const int64_t first_line = range.panel_begin * 16;
    const int64_t lines = smaller(range.panel_end * 16, source.lines) - first_line;
    const int64_t first_deep = range.tile_begin * kDepth;
    const int64_t deep = smaller(range.tile_end * kDepth, source.depth) - first_deep;
    rows_ = source.lines_are_rows ? lines : deep;
    row_bytes_ = (source.lines_are_rows ? deep : lines) * static_cast<int64_t>(sizeof(float));
    const int64_t row = source.lines_are_rows ? first_line : first_deep;
    const int64_t column = source.lines_are_rows ? first_deep : first_line;
    stride_ = source.stride * static_cast<int64_t>(sizeof(float));
    if (row_bytes_ <= 0) rows_ = 0;
    // With nothing to sum there may be no matrix.
    if (rows_ > 0) at_ = reinterpret_cast<const char*>(source.data + row * source.stride + column);
  }
  int64_t n_lines() const { return rows_ * divide_up(row_bytes_, 64); }
  [[gnu::always_inline]] void step() {
    if (rows_ <= 0) return;
    prefetch_far(at_ + offset_);
    offset_ += 64;
    if (offset_ < row_bytes_) return;
    offset_ = 0;
    at_ += stride_;
    --rows_;
  }

 private:
  const char* at_ = nullptr;
  int64_t offset_ = 0;
  int64_t row_bytes_ = 0;
  int64_t stride_ = 0;
  int64_t rows_ = 0;
};

// Whether C is written past the caches: a large result is not there any more when it is read, and whole lines written
// so need not be fetched before.
inline bool streams(const Matmul& p) {
  return !p.accumulate && p.m * p.n >= kStreamedValues && p.ldc % 16 == 0 && reinterpret_cast<uintptr_t>(p.c) % 64 == 0;
}

// Writes finished blocks of sums to C, with bias and the old values added, a few rows at each call: so the stores of a
// block run beside the products of the next one. Adds up the squares of what it writes where that is wanted.
template <bool kSquares>
class BlockWriter {
 public:
  BlockWriter(const Matmul& p, bool stream) : p_(p), stream_(stream) {}
  // The block's two tiles begin at these places of C. The sums must stay until they are written; what is left of the
  // block before is written first.
  void take(const float* sums, int64_t row, int64_t column, int64_t next_row, int64_t next_column) {
    drain();
    sums_ = sums;
    at_ = 0;
    place(tiles_[0], row, column);
    place(tiles_[1], next_row, next_column);
  }
  // One row of 16 sums.
  [[gnu::always_inline]] void step() {
    if (at_ >= kTilesOfBlock * 16) return;
    const Tile& tile = tiles_[at_ / 16];
    const int64_t row = at_ % 16;
    if (row < tile.rows) {
      float* out = tile.out + row * p_.ldc;
      __m512 value = _mm512_add_ps(_mm512_load_ps(sums_ + at_ * 16), tile.bias);
      if (p_.accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(tile.mask, out));
      if constexpr (kSquares) add_squares(_mm512_maskz_mov_ps(tile.mask, value));
      if (stream_ && tile.mask == 0xffff) {
        _mm512_stream_ps(out, value);
      } else {
        _mm512_mask_storeu_ps(out, tile.mask, value);
      }
    }
    ++at_;
  }
  void drain() {
    while (at_ < kTilesOfBlock * 16) step();
  }
  double sum_of_squares() const { return _mm512_reduce_add_pd(_mm512_add_pd(low_squares_, high_squares_)); }

 private:
  struct Tile {
    float* out = nullptr;
    int64_t rows = 0;
    __mmask16 mask = 0;
    __m512 bias;
  };
  void place(Tile& tile, int64_t row, int64_t column) const {
    const int64_t columns = p_.n - column;
    tile.rows = columns <= 0 ? 0 : smaller(16, p_.m - row);
    if (tile.rows <= 0) return;
    tile.out = p_.c + row * p_.ldc + column;
    tile.mask = columns >= 16 ? 0xffff : static_cast<__mmask16>((1u << columns) - 1);
    // Without a bias -0 is added, which leaves every sum as it is.
    tile.bias = p_.bias != nullptr ? _mm512_maskz_loadu_ps(tile.mask, p_.bias + column) : _mm512_set1_ps(-0.0f);
  }

  void add_squares(__m512 value) {
    const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(value));
    const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(value, 1));
    low_squares_ = _mm512_fmadd_pd(low, low, low_squares_);
    high_squares_ = _mm512_fmadd_pd(high, high, high_squares_);
  }

  const Matmul& p_;
  bool stream_;
  const float* sums_ = nullptr;
  int64_t at_ = kTilesOfBlock * 16;  // the next row of the two tiles
  Tile tiles_[kTilesOfBlock];
  __m512d low_squares_ = _mm512_setzero_pd();
  __m512d high_squares_ = _mm512_setzero_pd();
};

// What goes on beside the products: so many lines fetched and rows written for every tile of depth.
template <bool kSquares>
struct Beside {
  SourceFetch fetch;
  BlockWriter<kSquares> writer;
  int64_t n_fetch;
  int64_t n_write;
};

}  // namespace
}  // namespace fettle::amx
