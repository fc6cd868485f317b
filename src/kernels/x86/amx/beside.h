// What goes on beside the tile products of matmul_bf16: reading ahead and writing back, a little at a time.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/x86/activation.inl.h"
#include "kernels/x86/amx/pack_tiles.h"
#include "kernels/x86/vec16.h"

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
    at_ = reinterpret_cast<const char*>(source.data + row * source.stride + column);
    if (row_bytes_ <= 0) rows_ = 0;
  }
  int64_t n_lines() const { return rows_ * divide_up(row_bytes_, 64); }
  [[gnu::always_inline]] void step() {
    if (rows_ <= 0) return;
    asm volatile("prefetcht1 %0" : : "m"(at_[offset_]));
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

// Whole lines past the caches where that is wanted.
inline void write(bool stream, float* out, __mmask16 mask, __m512 value) {
  if (stream && mask == 0xffff) {
    _mm512_stream_ps(out, value);
  } else {
    _mm512_mask_storeu_ps(out, mask, value);
  }
}

template <Activation kind>
inline __m512 activated(__m512 value, const float* slope_at, __mmask16 mask) {
  if (slope_at == nullptr) return x86::activation_value<x86::Vec16, kind>(value);
  return _mm512_mul_ps(value, x86::activation_slope<x86::Vec16, kind>(_mm512_maskz_loadu_ps(mask, slope_at)));
}

// Of 16 values of C; slope_at null where there is none.
[[gnu::noinline]] inline __m512 activated(Activation kind, __m512 value, const float* slope_at, __mmask16 mask) {
  switch (kind) {
    case Activation::kNone:
      return value;
    case Activation::kRelu:
      return activated<Activation::kRelu>(value, slope_at, mask);
    case Activation::kTanh:
      return activated<Activation::kTanh>(value, slope_at, mask);
    case Activation::kGelu:
      return activated<Activation::kGelu>(value, slope_at, mask);
    case Activation::kGeluTanh:
      return activated<Activation::kGeluTanh>(value, slope_at, mask);
  }
  return value;
}

// Whether C is written past the caches: a large result is not there any more when it is read, and whole lines written
// so need not be fetched before.
inline bool streams(const Matmul& p) {
  const auto address = reinterpret_cast<uintptr_t>(p.c) | reinterpret_cast<uintptr_t>(p.argument);
  return !p.accumulate && p.m * p.n >= kStreamedValues && p.ldc % 16 == 0 && address % 64 == 0;
}

// Writes finished blocks of sums to C, with bias and the old values added and the epilogue done, a few rows at each
// call: so all this runs beside the products of the next block.
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
      if (p_.has_epilogue()) value = epilogue(value, out - p_.c, tile.mask);
      write(stream_, out, tile.mask, value);
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

  __m512 epilogue(__m512 value, int64_t at, __mmask16 mask) {
    if (p_.argument != nullptr) write(stream_, p_.argument + at, mask, value);
    if (p_.activation != Activation::kNone) {
      value = activated(p_.activation, value, p_.slope_at == nullptr ? nullptr : p_.slope_at + at, mask);
    }
    if (p_.sum_of_squares != nullptr) {
      const __m512 inside = _mm512_maskz_mov_ps(mask, value);
      const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(inside));
      const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(inside, 1));
      low_squares_ = _mm512_fmadd_pd(low, low, low_squares_);
      high_squares_ = _mm512_fmadd_pd(high, high, high_squares_);
    }
    return value;
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
struct Beside {
  SourceFetch fetch;
  BlockWriter writer;
  int64_t n_fetch;
  int64_t n_write;
};

}  // namespace
}  // namespace fettle::amx
