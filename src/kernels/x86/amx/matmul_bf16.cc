#include <immintrin.h>

#include <cstdint>

#include "kernels/scratch.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/pack_tiles.h"
#include "kernels/x86/amx/tiles.h"

// The operand with fewer lines is packed once and shared; the lines of the other are cut into strips, and a task packs
// its strip and multiplies it with the whole shared operand. So weights are read from memory once, by the task that
// needs them.

namespace fettle::amx {
namespace {

constexpr int64_t kTileValues = 512;
constexpr int64_t kPanelsPerPackTask = 4;
constexpr int64_t kStripBytes = 400 << 10;  // what a strip may take of the second-level cache
constexpr int64_t kMinStrips = 8;
constexpr int64_t kMaxStripPanels = 8;

int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

TileSource left_source(const Matmul& p) {
  return {p.a, p.lda, !p.transpose_a, p.m, p.k};
}
TileSource right_source(const Matmul& p) {
  return {p.b, p.ldb, p.transpose_b, p.n, p.k};
}

// Panels are even in number, as the inner product takes them in twos.
int64_t strip_panels(int64_t lines, int64_t depth) {
  const int64_t panel_bytes = larger(tiles_deep(depth), 1) * kTileBytes;
  const int64_t by_cache = kStripBytes / panel_bytes;
  const int64_t by_count = tiles_across(lines) / kMinStrips;
  const int64_t panels = smaller(smaller(by_cache, by_count), kMaxStripPanels) / 2 * 2;
  return larger(panels, 2);
}

// Adds bias and the old values to a block of sums and writes the part inside C.
void finish(const Matmul& p, const float* sums, int64_t sums_stride, int64_t row, int64_t column, int64_t rows,
            int64_t columns) {
  for (int64_t c = 0; c < columns; c += 16) {
    const int64_t left = columns - c;
    const __mmask16 mask = left >= 16 ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    const __m512 bias = p.bias != nullptr ? _mm512_maskz_loadu_ps(mask, p.bias + column + c) : _mm512_setzero_ps();
    for (int64_t r = 0; r < rows; ++r) {
      float* out = p.c + (row + r) * p.ldc + column + c;
      __m512 value = _mm512_load_ps(sums + r * sums_stride + c);
      if (p.bias != nullptr) value = _mm512_add_ps(value, bias);
      if (p.accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, out));
      _mm512_mask_storeu_ps(out, mask, value);
    }
  }
}

// C's block at (row, column), 32 × 32, from two left and two right panels. A missing second panel repeats the first;
// its sums lie outside C.
void multiply_block(const Matmul& p, const uint16_t* const (&left)[2], const uint16_t* const (&right)[2], int64_t row,
                    int64_t column) {
  alignas(64) float sums[32 * 32];
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const int64_t n_tiles = tiles_deep(p.k);
  for (int64_t t = 0; t < n_tiles; ++t) {
    const int64_t at = t * kTileValues;
    _tile_loadd(4, left[0] + at, kTileRowBytes);
    _tile_loadd(6, right[0] + at, kTileRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right[1] + at, kTileRowBytes);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left[1] + at, kTileRowBytes);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  constexpr int64_t kStride = 32 * sizeof(float);
  _tile_stored(0, sums, kStride);
  _tile_stored(1, sums + 16, kStride);
  _tile_stored(2, sums + 16 * 32, kStride);
  _tile_stored(3, sums + 16 * 32 + 16, kStride);
  finish(p, sums, 32, row, column, smaller(32, p.m - row), smaller(32, p.n - column));
}

// Packed panels of consecutive lines.
struct Panels {
  const uint16_t* data;
  int64_t first_line;
  int64_t n_panels;
};

void multiply_panels(const Matmul& p, const Panels& left, const Panels& right) {
  const int64_t panel_values = tiles_deep(p.k) * kTileValues;
  for (int64_t i = 0; i < left.n_panels; i += 2) {
    const uint16_t* a = left.data + i * panel_values;
    const uint16_t* const lefts[2] = {a, i + 1 < left.n_panels ? a + panel_values : a};
    for (int64_t j = 0; j < right.n_panels; j += 2) {
      const uint16_t* b = right.data + j * panel_values;
      const uint16_t* const rights[2] = {b, j + 1 < right.n_panels ? b + panel_values : b};
      multiply_block(p, lefts, rights, left.first_line + i * 16, right.first_line + j * 16);
    }
  }
}

}  // namespace

void matmul_bf16(const Matmul& p, ThreadPool& pool) {
  if (p.m <= 0 || p.n <= 0) return;
  const bool share_left = p.m <= p.n;
  const TileSource shared = share_left ? left_source(p) : right_source(p);
  const TileSource cut = share_left ? right_source(p) : left_source(p);
  const TileForm shared_form = share_left ? TileForm::kLeft : TileForm::kRight;
  const TileForm cut_form = share_left ? TileForm::kRight : TileForm::kLeft;
  const int64_t panel_values = tiles_deep(p.k) * kTileValues;

  const int64_t shared_panels = tiles_across(shared.lines);
  auto* shared_data = thread_scratch_of<uint16_t>(ScratchUse::kSharedOperand, shared_panels * panel_values);
  pool.parallel_ranges(shared_panels, kPanelsPerPackTask, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) pack_panel(shared, shared_form, i, shared_data + i * panel_values);
  });

  const Panels shared_operand = {shared_data, 0, shared_panels};
  const int64_t grain = strip_panels(cut.lines, p.k);
  pool.parallel_ranges(tiles_across(cut.lines), grain, [&](int64_t begin, int64_t end, int) {
    auto* strip_data = thread_scratch_of<uint16_t>(ScratchUse::kStrip, grain * panel_values);
    for (int64_t i = begin; i < end; ++i) pack_panel(cut, cut_form, i, strip_data + (i - begin) * panel_values);
    const Panels strip = {strip_data, begin * 16, end - begin};
    configure_tiles();
    multiply_panels(p, share_left ? shared_operand : strip, share_left ? strip : shared_operand);
  });
}

}  // namespace fettle::amx
