#include <immintrin.h>

#include <cstdint>

#include "kernels/scratch.h"
#include "kernels/x86/amx/beside.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/pack_tiles.h"
#include "kernels/x86/amx/tiles.h"

// The operand with fewer lines is packed once and shared; the lines of the other are cut among tasks, and a task packs
// its lines strip by strip and multiplies each with the whole shared operand. So weights are read from memory once, by
// the task that needs them, and while a strip is multiplied the source of the next one is fetched. A long depth is cut
// into steps too, so that what a step touches stays in the second-level cache; sums wait between steps in working
// memory.
//
// Only four of the eight tile registers are used: two of sums, one of each operand. Where another program runs on the
// core's second hardware thread, the physical tile registers behind the eight are shared, and with all eight in use
// none is left for renaming: every product then waits for the one before it. On such a core two tiles of sums take half
// the time of the usual four; on a quiet one they take the same.

namespace fettle::amx {
namespace {

constexpr int64_t kTileValues = 512;
constexpr int64_t kBlockSums = kTilesOfBlock * 256;  // two tiles of C, one after another
constexpr int64_t kStepTiles = 12;  // depth of a step, in tiles: two panels of it take half of the first-level cache
constexpr int64_t kDeepTiles = 24;  // beyond this depth the shared operand leaves the second-level cache between strips
constexpr int64_t kMaxTaskPanels = 8;
constexpr int64_t kStripPanels = 4;

// Even, as the inner product takes panels in twos. At least four tasks where there is work for them, for the sake of
// many threads.
int64_t task_panels(const TileSource& cut) {
  const int64_t panels = tiles_across(cut.lines);
  const int64_t tasks = round_up(divide_up(panels, kMaxTaskPanels), 4);
  return round_up(divide_up(panels, tasks), 2);
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

// One step of depth of a strip.
struct Step {
  int64_t n_tiles;
  bool first, last;
  bool stream;
  float* sums;  // of every block of the strip, or of two where the first step is the last
};

// sums (+)= one panel of an operand by two of the other, over n_tiles of depth; the two are left ones or right ones.
template <bool kTwoLeft, bool kSquares>
[[gnu::always_inline]] inline void multiply_block(const uint16_t* one, const uint16_t* two, const uint16_t* two_next,
                                                  int64_t n_tiles, bool add, Beside<kSquares>& beside, float* sums) {
  constexpr int64_t kStride = 16 * sizeof(float);
  if (add) {
    _tile_loadd(0, sums, kStride);
    _tile_loadd(1, sums + 256, kStride);
  } else {
    _tile_zero(0);
    _tile_zero(1);
  }
  for (int64_t at = 0; at < n_tiles * kTileValues; at += kTileValues) {
    // Register 4 holds the left tile, 6 the right one; the numbers must be literals.
    if constexpr (kTwoLeft) {
      _tile_loadd(6, one + at, kTileRowBytes);
      _tile_loadd(4, two + at, kTileRowBytes);
    } else {
      _tile_loadd(4, one + at, kTileRowBytes);
      _tile_loadd(6, two + at, kTileRowBytes);
    }
    _tile_dpbf16ps(0, 4, 6);
    prefetch_tile(one + at + kTileValues);
    if constexpr (kTwoLeft) {
      _tile_loadd(4, two_next + at, kTileRowBytes);
    } else {
      _tile_loadd(6, two_next + at, kTileRowBytes);
    }
    _tile_dpbf16ps(1, 4, 6);
    for (int64_t i = 0; i < beside.n_write; ++i) beside.writer.step();
    for (int64_t i = 0; i < beside.n_fetch; ++i) beside.fetch.step();
  }
  _tile_stored(0, sums, kStride);
  _tile_stored(1, sums + 256, kStride);
}

// Two panels of the strip stay in the first-level cache while those of the whole operand go by. Returns the sum of the
// squares of what was written, if that is wanted.
template <bool kTwoLeft, bool kSquares>
double multiply_panels(const Matmul& p, const Panels& strip, const Panels& whole, const Step& step,
                       const SourceFetch& fetch) {
  const int64_t n_tiles = larger(step.n_tiles, 1);
  Beside<kSquares> beside = {fetch, BlockWriter<kSquares>(p, step.stream), 0, divide_up(kTilesOfBlock * 16, n_tiles)};
  beside.n_fetch = divide_up(fetch.n_lines(), divide_up(strip.n, 2) * whole.n * n_tiles);
  const bool one_step = step.first && step.last;
  int64_t block = 0;
  for (int64_t i = 0; i < strip.n; i += 2) {
    for (int64_t j = 0; j < whole.n; ++j, ++block) {
      float* sums = step.sums + (one_step ? block % 2 : block) * kBlockSums;
      multiply_block<kTwoLeft, kSquares>(whole.at(j), strip.at(i), strip.after(i), step.n_tiles, !step.first, beside,
                                         sums);
      if (!step.last) continue;
      const int64_t line = (strip.first + i) * 16;
      const int64_t other = (whole.first + j) * 16;
      if (kTwoLeft) {
        beside.writer.take(sums, line, other, line + 16, other);
      } else {
        beside.writer.take(sums, other, line, other, line + 16);
      }
    }
  }
  beside.writer.drain();
  return beside.writer.sum_of_squares();
}

struct Product {
  const Matmul& p;
  bool share_left;
  TileSource shared, cut;
  TileForm shared_form, cut_form;
  int64_t depth_tiles;  // of the whole product
  int64_t step_tiles;   // of one step
  int64_t task_panels;
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
    step_tiles = divide_up(depth_tiles, larger(divide_up(depth_tiles, kStepTiles), 1));
    task_panels = amx::task_panels(cut);
    // A matrix that is read across its rows is slow in narrow strips.
    const bool narrow = depth_tiles <= kDeepTiles && cut.lines_are_rows;
    strip_panels = narrow ? smaller(task_panels, kStripPanels) : task_panels;
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

  // Returns the sum of the squares of the task's part of C, if that is wanted.
  double run_task(int64_t begin, int64_t end) const;
};

double Product::run_task(int64_t begin, int64_t end) const {
  const int64_t shared_panels = tiles_across(shared.lines);
  const int64_t n_blocks = step_tiles >= depth_tiles ? 2 : shared_panels * divide_up(end - begin, 2);
  float* sums = thread_scratch_of<float>(ScratchUse::kBlock, n_blocks * kBlockSums);
  auto* strip_data = thread_scratch_of<uint16_t>(ScratchUse::kStrip, strip_panels * step_tiles * kTileValues);
  configure_tiles();
  _tile_zero(2);  // a tile of zeros occupies no physical register
  _tile_zero(3);
  _tile_zero(5);
  _tile_zero(7);
  TileRange now = {begin, smaller(begin + strip_panels, end), 0, smaller(step_tiles, depth_tiles)};
  const auto multiply = p.sum_of_squares == nullptr
                            ? (share_left ? multiply_panels<false, false> : multiply_panels<true, false>)
                            : (share_left ? multiply_panels<false, true> : multiply_panels<true, true>);
  double squares = 0;
  while (now.panel_begin < end) {
    const int64_t n_tiles = now.tile_end - now.tile_begin;
    pack_tiles(cut, cut_form, now, n_tiles, strip_data);
    const bool last = now.tile_end >= depth_tiles;
    TileRange next = now;
    if (last) {
      next.panel_begin = now.panel_end;
      next.panel_end = smaller(next.panel_begin + strip_panels, end);
    }
    next.tile_begin = last ? 0 : now.tile_end;
    next.tile_end = smaller(next.tile_begin + step_tiles, depth_tiles);
    const SourceFetch fetch = next.panel_begin < end ? SourceFetch(cut, next) : SourceFetch();
    const Panels strip = {strip_data, n_tiles * kTileValues, now.panel_begin, now.panel_end - now.panel_begin};
    const Panels whole = {shared_data + now.tile_begin * kTileValues, depth_tiles * kTileValues, 0, shared_panels};
    const Step step = {n_tiles, now.tile_begin == 0, last, streams(p), sums};
    squares += multiply(p, strip, whole, step, fetch);
    now = next;
  }
  _mm_sfence();  // streamed values must be seen by whoever waits for this task
  return squares;
}

}  // namespace

void matmul_bf16(const Matmul& p, ThreadPool& pool) {
  if (p.sum_of_squares != nullptr) *p.sum_of_squares = 0;
  if (p.m <= 0 || p.n <= 0) return;
  Product product(p);
  product.pack_shared(pool);
  const int64_t panels = tiles_across(product.cut.lines);
  const int64_t n_tasks = divide_up(panels, product.task_panels);
  auto* squares = thread_scratch_of<double>(ScratchUse::kPartialSums, static_cast<size_t>(n_tasks));
  pool.parallel_for(n_tasks, [&](int64_t task, int) {
    const int64_t begin = task * product.task_panels;
    squares[task] = product.run_task(begin, smaller(begin + product.task_panels, panels));
  });
  if (p.sum_of_squares == nullptr) return;
  for (int64_t task = 0; task < n_tasks; ++task) *p.sum_of_squares += squares[task];
}

}  // namespace fettle::amx
