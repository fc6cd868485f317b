#include <immintrin.h>

#include <cstdint>

#include "kernels/scratch.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/pack_tiles.h"
#include "kernels/x86/amx/tiles.h"

// The operand with fewer lines is packed once and shared; the lines of the other are cut into strips, and a task packs
// its strip and multiplies it with the whole shared operand. So weights are read from memory once, by the task that
// needs them. A long depth is cut too, so that what a step of a task touches stays in the second-level cache; sums wait
// between steps in working memory.

namespace fettle::amx {
namespace {

constexpr int64_t kTileValues = 512;
constexpr int64_t kBlockSums = 4 * 256;  // a 32 × 32 block of C: four tiles, one after another
constexpr int64_t kMaxStepTiles = 16;    // depth of a step, in tiles
constexpr int64_t kMaxStripPanels = 16;
constexpr int64_t kStreamedValues = 1 << 18;  // of C, from which on it is written past the caches

int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}
int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}
int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
int64_t round_up(int64_t a, int64_t b) {
  return divide_up(a, b) * b;
}

// Even, as the inner product takes panels in twos. Few wide strips where the matrix is read across its rows, which is
// slow in narrow ones; else at least eight, for the sake of many threads.
int64_t strip_panels(const TileSource& cut) {
  const int64_t panels = tiles_across(cut.lines);
  const int64_t strips = round_up(divide_up(panels, kMaxStripPanels), cut.lines_are_rows ? 8 : 4);
  return round_up(divide_up(panels, strips), 2);
}

struct Product {
  const Matmul& p;
  bool share_left;
  TileSource shared, cut;
  TileForm shared_form, cut_form;
  int64_t depth_tiles;  // of the whole product, at least 1
  int64_t step_tiles;   // of one step
  int64_t strip_panels;
  uint16_t* shared_data = nullptr;

  explicit Product(const Matmul& matmul) : p(matmul), share_left(p.m <= p.n) {
    const TileSource left = {p.a, p.lda, !p.transpose_a, p.m, p.k};
    const TileSource right = {p.b, p.ldb, p.transpose_b, p.n, p.k};
    shared = share_left ? left : right;
    cut = share_left ? right : left;
    shared_form = share_left ? TileForm::kLeft : TileForm::kRight;
    cut_form = share_left ? TileForm::kRight : TileForm::kLeft;
    depth_tiles = tiles_deep(p.k);
    step_tiles = divide_up(depth_tiles, larger(divide_up(depth_tiles, kMaxStepTiles), 1));
    strip_panels = amx::strip_panels(cut);
  }

  void pack_shared(ThreadPool& pool) {
    constexpr int64_t kPanels = 4;
    constexpr int64_t kTiles = 2;
    const int64_t panels = tiles_across(shared.lines);
    shared_data = thread_scratch_of<uint16_t>(ScratchUse::kSharedOperand, panels * depth_tiles * kTileValues);
    const auto pack = [&](const TileRange& range) {
      const int64_t first = range.panel_begin * depth_tiles + range.tile_begin;
      pack_tiles(shared, shared_form, range, depth_tiles, shared_data + first * kTileValues);
    };
    if (shared.lines_are_rows) {
      pool.parallel_ranges(panels, kPanels, [&](int64_t begin, int64_t end, int) {
        pack({begin, end, 0, depth_tiles});
      });
    } else {
      pool.parallel_ranges(depth_tiles, kTiles, [&](int64_t begin, int64_t end, int) {
        pack({0, panels, begin, end});
      });
    }
  }

  void run_strip(int64_t begin, int64_t end) const;
};

// Whether C is written past the caches: a large result is not there any more when it is read, and whole lines written
// so need not be fetched before.
bool streams(const Matmul& p) {
  return !p.accumulate && p.m * p.n >= kStreamedValues && p.ldc % 16 == 0 && reinterpret_cast<uintptr_t>(p.c) % 64 == 0;
}

// Adds bias and the old values to a block of sums and writes the part inside C.
void finish(const Matmul& p, bool stream, const float* sums, int64_t row, int64_t column) {
  for (int64_t tile = 0; tile < 4; ++tile) {
    const int64_t first_row = row + tile / 2 * 16;
    const int64_t first_column = column + tile % 2 * 16;
    const int64_t columns = p.n - first_column;
    if (columns <= 0) continue;
    const __mmask16 mask = columns >= 16 ? 0xffff : static_cast<__mmask16>((1u << columns) - 1);
    const __m512 bias = p.bias != nullptr ? _mm512_maskz_loadu_ps(mask, p.bias + first_column) : _mm512_setzero_ps();
    const int64_t rows = smaller(16, p.m - first_row);
    for (int64_t r = 0; r < rows; ++r) {
      float* out = p.c + (first_row + r) * p.ldc + first_column;
      __m512 value = _mm512_load_ps(sums + tile * 256 + r * 16);
      if (p.bias != nullptr) value = _mm512_add_ps(value, bias);
      if (p.accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, out));
      if (stream && mask == 0xffff) {
        _mm512_stream_ps(out, value);
      } else {
        _mm512_mask_storeu_ps(out, mask, value);
      }
    }
  }
}

// Packed panels of an operand, for one step of depth.
struct Panels {
  const uint16_t* data;
  int64_t panel_values;  // from one panel to the next
  int64_t first;         // which panel of the operand the first is
  int64_t n;

  const uint16_t* at(int64_t panel) const { return data + panel * panel_values; }
  // The panel after this one; the last repeats itself, and its sums lie outside C.
  const uint16_t* after(int64_t panel) const { return at(panel + 1 < n ? panel + 1 : panel); }
};

// sums (+)= left · right, 32 × 32, over n_tiles of depth.
void multiply_block(const uint16_t* const (&left)[2], const uint16_t* const (&right)[2], int64_t n_tiles, bool add,
                    float* sums) {
  constexpr int64_t kStride = 16 * sizeof(float);
  if (add) {
    _tile_loadd(0, sums, kStride);
    _tile_loadd(1, sums + 256, kStride);
    _tile_loadd(2, sums + 512, kStride);
    _tile_loadd(3, sums + 768, kStride);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  // Loads before products, and prefetches of the next step between them: together 1.7 times the speed of the plain
  // order.
  for (int64_t at = 0; at < n_tiles * kTileValues; at += kTileValues) {
    const int64_t next = at + kTileValues;
    _tile_loadd(4, left[0] + at, kTileRowBytes);
    _tile_loadd(6, right[0] + at, kTileRowBytes);
    _tile_loadd(7, right[1] + at, kTileRowBytes);
    _tile_loadd(5, left[1] + at, kTileRowBytes);
    _tile_dpbf16ps(0, 4, 6);
    prefetch_tile(left[0] + next);
    _tile_dpbf16ps(1, 4, 7);
    prefetch_tile(right[0] + next);
    _tile_dpbf16ps(2, 5, 6);
    prefetch_tile(right[1] + next);
    _tile_dpbf16ps(3, 5, 7);
    prefetch_tile(left[1] + next);
  }
  _tile_stored(0, sums, kStride);
  _tile_stored(1, sums + 256, kStride);
  _tile_stored(2, sums + 512, kStride);
  _tile_stored(3, sums + 768, kStride);
}

// One step of depth of a strip.
struct Step {
  int64_t n_tiles;
  bool first, last;
  bool stream;
  float* sums;  // of every block of the strip, or of one where the first step is the last
};

void multiply_panels(const Matmul& p, const Panels& left, const Panels& right, const Step& step) {
  const int64_t blocks_across = divide_up(right.n, 2);
  // Groups of right panels keep C's rows long and the panels in the second-level cache; a pair of left ones stays in
  // the first.
  for (int64_t group = 0; group < right.n; group += kMaxStripPanels) {
    const int64_t group_end = smaller(group + kMaxStripPanels, right.n);
    for (int64_t i = 0; i < left.n; i += 2) {
      for (int64_t j = group; j < group_end; j += 2) {
        const bool one_step = step.first && step.last;
        float* sums = one_step ? step.sums : step.sums + (i / 2 * blocks_across + j / 2) * kBlockSums;
        multiply_block({left.at(i), left.after(i)}, {right.at(j), right.after(j)}, step.n_tiles, !step.first, sums);
        if (step.last) finish(p, step.stream, sums, (left.first + i) * 16, (right.first + j) * 16);
      }
    }
  }
}

void Product::run_strip(int64_t begin, int64_t end) const {
  const int64_t shared_panels = tiles_across(shared.lines);
  const int64_t n_blocks = step_tiles >= depth_tiles ? 1 : divide_up(shared_panels, 2) * divide_up(end - begin, 2);
  float* sums = thread_scratch_of<float>(ScratchUse::kBlock, n_blocks * kBlockSums);
  auto* strip_data = thread_scratch_of<uint16_t>(ScratchUse::kStrip, strip_panels * step_tiles * kTileValues);
  configure_tiles();
  int64_t tile = 0;
  do {  // once even when there is nothing to sum
    const int64_t n_tiles = smaller(step_tiles, depth_tiles - tile);
    pack_tiles(cut, cut_form, {begin, end, tile, tile + n_tiles}, n_tiles, strip_data);
    const Panels strip = {strip_data, n_tiles * kTileValues, begin, end - begin};
    const Panels whole = {shared_data + tile * kTileValues, depth_tiles * kTileValues, 0, shared_panels};
    const Step step = {n_tiles, tile == 0, tile + n_tiles >= depth_tiles, streams(p), sums};
    multiply_panels(p, share_left ? whole : strip, share_left ? strip : whole, step);
    tile += n_tiles;
  } while (tile < depth_tiles);
  _mm_sfence();  // streamed values must be seen by whoever waits for this task
}

}  // namespace

void matmul_bf16(const Matmul& p, ThreadPool& pool) {
  if (p.m <= 0 || p.n <= 0) return;
  Product product(p);
  product.pack_shared(pool);
  pool.parallel_ranges(tiles_across(product.cut.lines), product.strip_panels,
                       [&](int64_t begin, int64_t end, int) { product.run_strip(begin, end); });
}

}  // namespace fettle::amx
