// Products of prepared rows with packed panels on AMX tiles, for int8 and bf16.
//
// Up to 16 rows: strips of one tile of rows by the six panels of a group, whose weights come straight from memory in
// six streams. More rows: blocks of two tiles of rows by one panel after the other; with four tile registers in use
// the processor has some left for renaming (matmul_bf16.cc). So many rows stay in the first-level cache while the
// panels pass; where the rows are too long for that, they are cut into chunks and the sums go out and in again. The
// next group's weights are fetched into the second-level cache meanwhile, and the sums of the block before are finished
// (tile_finisher.h), a little beside every product: in a bunch both would hold up the tiles.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <utility>

#include "kernels/packed_panels.h"
#include "kernels/vector/prefetch.h"
#include "kernels/x86/amx/tile_finisher.h"
#include "kernels/x86/amx/tile_ops.h"
#include "kernels/x86/amx/tiles.h"

namespace fettle::amx {

constexpr int64_t kMaxRowTiles = 2;
constexpr int64_t kChunkTiles = 12;  // of two rows of tiles: 24 KB of the first-level cache
constexpr int64_t kPanelSums = kMaxRowTiles * kTileBytes;

inline int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

// The panels of one group, each n_tiles deep.
struct TileGroup {
  const std::byte* panels[kGroupPanels] = {};
  int64_t n_panels = 0;
  int64_t n_tiles = 0;
  int64_t column = 0;

  TileGroup(const PanelWeights& w, int64_t group)
      : n_panels(w.panels_in_group(group)), n_tiles(w.panel_bytes / kTileBytes), column(group * kGroupWidth) {
    for (int64_t i = 0; i < n_panels; ++i) panels[i] = w.panel(group, i);
  }
};

// Fetches the next group's panels into the second-level cache, one line of each at a step.
class GroupFetch {
 public:
  GroupFetch() = default;
  GroupFetch(const PanelsAhead& next, int64_t n_passes)
      : lines_left_(next.panel_bytes / kLineBytes), lines_of_pass_(divide_up(lines_left_, n_passes)) {
    for (int64_t i = 0; i < kGroupPanels; ++i) panels_[i] = next.panels[i < next.n_panels ? i : 0];
    if (next.n_panels == 0) lines_left_ = 0;
  }
  // For a pass over n tiles; returns beside how many of them there are lines to fetch.
  [[gnu::always_inline]] int64_t begin_pass(int64_t n) {
    const int64_t lines = lines_left_ < lines_of_pass_ ? lines_left_ : lines_of_pass_;
    if (lines == 0) return 0;
    lines_of_step_ = divide_up(lines, n);
    const int64_t n_steps = divide_up(lines, lines_of_step_);
    lines_left_ -= n_steps * lines_of_step_;
    return n_steps;
  }
  [[gnu::always_inline]] void step() {
    for (int64_t line = 0; line < lines_of_step_; ++line) {
#pragma GCC unroll 6
      for (int64_t i = 0; i < kGroupPanels; ++i) prefetch_far(panels_[i] + offset_);
      offset_ += kLineBytes;
    }
  }

 private:
  const std::byte* panels_[kGroupPanels] = {};
  int64_t lines_left_ = 0;
  int64_t lines_of_pass_ = 0;
  int64_t lines_of_step_ = 0;
  int64_t offset_ = 0;
};

template <typename Dot, typename Finisher>
class TileProduct {
 public:
  TileProduct(const PanelJob& job, int64_t group_begin, int64_t group_end)
      : job_(job), group_begin_(group_begin), group_end_(group_end) {}

  void run() {
    configure_tiles();
    // Tiles of zeros take up no physical register.
    clear_sums<2>();
    clear_sums<3>();
    clear_sums<4>();
    clear_sums<5>();
    asm volatile("" : : : "memory");  // gcc 12 does not know that tile loads read the prepared rows
    for (int64_t g = group_begin_; g < group_end_; ++g) {
      const TileGroup group(*job_.weights, g);
      fetch_next(group, g);
      const int64_t n_row_tiles = divide_up(job_.rows, kTileRows);
      if (n_row_tiles == 1) {
        strip_of_rows(group);
        continue;
      }
      for (int64_t tile = 0; tile < n_row_tiles;) tile += rows_by_group(group, tile, n_row_tiles - tile);
    }
    Finisher(job_, pending_).drain();
  }

 private:
  // Into the second-level cache, spread over the products with this group. Strips come straight from memory as fast as
  // it gives them.
  void fetch_next(const TileGroup& present, int64_t group) {
    fetch_ = {};
    if (job_.rows <= kTileRows) return;
    const PanelsAhead next = group + 1 < group_end_ ? job_.weights->panels_of(group + 1) : job_.ahead;
    const int64_t n_passes =
        divide_up(divide_up(job_.rows, kTileRows), kMaxRowTiles) * present.n_panels * n_chunks_of(present);
    fetch_ = GroupFetch(next, n_passes);
  }

  template <int... kPanel>
  void strip_by(const TileGroup& group, std::byte* sums, std::integer_sequence<int, kPanel...>) {
    const std::byte* const panels[] = {group.panels[kPanel]...};
    const int64_t n_steps = divide_up(Finisher::n_steps(job_.rows, group.n_panels), group.n_tiles);
    Finisher finisher(job_, pending_);
    (clear_sums<kPanel>(), ...);
    for (int64_t at = 0; at < group.n_tiles * kTileBytes; at += kTileBytes) {
      load_tile<6>(job_.rows_data + at);
      ((load_tile<7>(panels[kPanel] + at), Dot::template add<kPanel>(),
        prefetch_tile(panels[kPanel] + at + kTileBytes)),
       ...);
      for (int64_t i = 0; i < n_steps; ++i) finisher.step();
    }
    (store_sums<kPanel>(sums + kPanel * kTileBytes, kTileRowBytes), ...);
    finisher.drain();
  }

  template <int kPanels>
  void strip_of(const TileGroup& group, std::byte* sums) {
    strip_by(group, sums, std::make_integer_sequence<int, kPanels>());
  }

  // One tile of rows by a group.
  void strip_of_rows(const TileGroup& group) {
    using Strip = void (TileProduct::*)(const TileGroup&, std::byte*);
    static constexpr Strip kStrips[] = {&TileProduct::strip_of<1>, &TileProduct::strip_of<2>,
                                        &TileProduct::strip_of<3>, &TileProduct::strip_of<4>,
                                        &TileProduct::strip_of<5>, &TileProduct::strip_of<6>};
    std::byte* const sums = next_sums(kGroupPanels * kTileBytes);
    (this->*kStrips[group.n_panels - 1])(group, sums);
    pending_ = {.sums = sums,
                .panel_stride = kTileBytes,
                .n_panels = group.n_panels,
                .row = 0,
                .rows = job_.rows,
                .column = group.column};
  }

  // Two halves in turns: one is summed into while the other is finished.
  std::byte* next_sums(int64_t size) {
    second_half_ = !second_half_;
    return sums_ + (second_half_ ? size : 0);
  }

  struct Chunk {
    const std::byte* rows;
    const std::byte* panel;
    int64_t row_stride;  // bytes from one tile of rows to the next
    int64_t n_tiles;
    bool is_first;
  };

  // One tile of depth, and what goes on beside it: n_steps of finishing, lines fetched.
  template <bool kFinish, bool kFetch, int... kRow>
  [[gnu::always_inline]] void depth_step(const Chunk& chunk, int64_t t, int64_t n_steps,
                                         typename Finisher::OfPanel& finisher, GroupFetch& fetch) {
    load_tile<7>(chunk.panel + t * kTileBytes);
    ((load_tile<6>(chunk.rows + kRow * chunk.row_stride + t * kTileBytes), Dot::template add<kRow>()), ...);
    if constexpr (kFetch) fetch.step();
    if constexpr (kFinish) {
      for (int64_t i = 0; i < n_steps; ++i) finisher.step();
    }
  }

  // The sums of the panel before are finished beside the first tiles of depth, lines are fetched beside the last ones.
  template <int... kRow>
  void rows_by_panel(const Chunk& chunk, std::byte* sums, std::integer_sequence<int, kRow...>) {
    if (chunk.is_first) {
      (clear_sums<kRow>(), ...);
    } else {
      (load_sums<kRow>(sums + kRow * kTileBytes), ...);
    }
    typename Finisher::OfPanel finisher;
    if (pending_.n_panels > 0) finisher = typename Finisher::OfPanel(job_, pending_, 0);
    const int64_t n = chunk.n_tiles;
    const int64_t n_steps = divide_up(Finisher::n_steps(pending_.rows, pending_.n_panels), n);
    const int64_t finish_to = n_steps == 0 ? 0 : divide_up(Finisher::n_steps(pending_.rows, 1), n_steps);
    GroupFetch fetch = fetch_;
    const int64_t fetch_from = n - fetch.begin_pass(n);
    int64_t t = 0;
    for (; t < finish_to && t < fetch_from; ++t) depth_step<true, false, kRow...>(chunk, t, n_steps, finisher, fetch);
    for (; t < finish_to; ++t) depth_step<true, true, kRow...>(chunk, t, n_steps, finisher, fetch);
    for (; t < fetch_from; ++t) depth_step<false, false, kRow...>(chunk, t, n_steps, finisher, fetch);
    for (; t < n; ++t) depth_step<false, true, kRow...>(chunk, t, n_steps, finisher, fetch);
    (store_sums<kRow>(sums + kRow * kTileBytes, kTileRowBytes), ...);
    fetch_ = fetch;
    pending_ = {};
  }

  static int64_t n_chunks_of(const TileGroup& group) { return divide_up(group.n_tiles, kChunkTiles); }

  // Up to two tiles of rows from `tile` on by a group; returns how many.
  int64_t rows_by_group(const TileGroup& group, int64_t tile, int64_t n_left) {
    const int64_t n_row_tiles = n_left < kMaxRowTiles ? n_left : kMaxRowTiles;
    const int64_t left_rows = job_.rows - tile * kTileRows;
    const int64_t rows = left_rows < n_row_tiles * kTileRows ? left_rows : n_row_tiles * kTileRows;
    const int64_t chunk_tiles = divide_up(group.n_tiles, n_chunks_of(group));
    const std::byte* from = job_.rows_data + tile * group.n_tiles * kTileBytes;
    for (int64_t first = 0; first < group.n_tiles; first += chunk_tiles) {
      const int64_t n = group.n_tiles - first < chunk_tiles ? group.n_tiles - first : chunk_tiles;
      const bool is_last = first + n == group.n_tiles;
      for (int64_t p = 0; p < group.n_panels; ++p) {
        std::byte* const sums = sums_ + p * kPanelSums;
        const Chunk chunk{.rows = from + first * kTileBytes,
                          .panel = group.panels[p] + first * kTileBytes,
                          .row_stride = group.n_tiles * kTileBytes,
                          .n_tiles = n,
                          .is_first = first == 0};
        switch (n_row_tiles) {
          case 1:
            rows_by_panel(chunk, sums, std::make_integer_sequence<int, 1>());
            break;
          default:
            rows_by_panel(chunk, sums, std::make_integer_sequence<int, 2>());
        }
        if (!is_last) continue;
        pending_ = {.sums = sums,
                    .n_panels = 1,
                    .row = tile * kTileRows,
                    .rows = rows,
                    .column = group.column + p * kPanelWidth};
      }
    }
    return n_row_tiles;
  }

  const PanelJob& job_;
  int64_t group_begin_;
  int64_t group_end_;
  TileSums pending_;  // summed, to be finished beside the next products
  GroupFetch fetch_;
  bool second_half_ = false;
  alignas(64) std::byte sums_[kGroupPanels * kPanelSums];
};
static_assert(kGroupPanels * kPanelSums >= 2 * kGroupPanels * kTileBytes);

// The whole product for groups [begin, end).
template <typename Dot, typename Convert>
void tile_columns(const PanelJob& job, int64_t group_begin, int64_t group_end) {
  with_activation(job.activation, [&]<Activation kind>() {
    TileProduct<Dot, TileFinisher<Convert, kind>>(job, group_begin, group_end).run();
  });
}

}  // namespace fettle::amx
