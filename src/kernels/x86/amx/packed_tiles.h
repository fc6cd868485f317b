// Products of prepared rows with packed panels on AMX tiles, for int8 and bf16.
//
// Up to 16 rows: strips of one tile of rows by the six panels of a group, whose weights come straight from memory in
// six streams. More rows: two tiles of rows by one panel after the other, while the next group's weights are fetched
// into the second-level cache; with four tile registers in use the processor has some left for renaming
// (matmul_bf16.cc). Between two products stand the prefetches of one tile: in a bunch they would hold up the loads.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <utility>

#include "kernels/packed_panels.h"
#include "kernels/vector/far_prefetch.h"
#include "kernels/x86/amx/tile_ops.h"
#include "kernels/x86/amx/tiles.h"

namespace fettle::amx {

constexpr int64_t kSumsStride = kGroupWidth * 4;  // bytes

// The panels of one group, each n_tiles deep.
struct TileGroup {
  const std::byte* panels[kGroupPanels] = {};
  int64_t n_panels = 0;
  int64_t n_tiles = 0;

  TileGroup(const PanelWeights& w, int64_t group)
      : n_panels(w.panels_in_group(group)), n_tiles(w.panel_bytes / kTileBytes) {
    for (int64_t i = 0; i < n_panels; ++i) panels[i] = w.panel(group, i);
  }
};

template <typename Dot, int... kPanel>
void add_strip(const std::byte* const* panels, int64_t at, std::integer_sequence<int, kPanel...>) {
  ((load_tile<7>(panels[kPanel] + at), Dot::template strip<kPanel>(), prefetch_tile(panels[kPanel] + at + kTileBytes)),
   ...);
}

// sums [16][kSumsStride bytes] of one tile of rows by kPanels panels.
template <typename Dot, int... kPanel>
void strip(const std::byte* rows, const std::byte* const* from, int64_t n_tiles, std::byte* sums,
           std::integer_sequence<int, kPanel...> all) {
  const std::byte* const panels[] = {from[kPanel]...};
  (clear_sums<kPanel>(), ...);
  for (int64_t at = 0; at < n_tiles * kTileBytes; at += kTileBytes) {
    load_tile<6>(rows + at);
    add_strip<Dot>(panels, at, all);
  }
  (store_sums<kPanel>(sums + kPanel * kTileRowBytes, kSumsStride), ...);
}

template <typename Dot, int kPanels>
void strip_of(const std::byte* rows, const std::byte* const* panels, int64_t n_tiles, std::byte* sums) {
  strip<Dot>(rows, panels, n_tiles, sums, std::make_integer_sequence<int, kPanels>());
}

template <typename Dot>
void strip(const std::byte* rows, const std::byte* const* panels, int64_t n_panels, int64_t n_tiles, std::byte* sums) {
  using Run = void (*)(const std::byte*, const std::byte* const*, int64_t, std::byte*);
  static constexpr Run kRuns[] = {strip_of<Dot, 1>, strip_of<Dot, 2>, strip_of<Dot, 3>,
                                  strip_of<Dot, 4>, strip_of<Dot, 5>, strip_of<Dot, 6>};
  kRuns[n_panels - 1](rows, panels, n_tiles, sums);
}

// sums [32][kSumsStride bytes] of two tiles of rows by one panel.
template <typename Dot>
void pair_of_rows(const std::byte* rows, const std::byte* panel, int64_t n_tiles, std::byte* sums,
                  FarPrefetch<Dot>& fetch) {
  const std::byte* const rows1 = rows + n_tiles * kTileBytes;
  clear_sums<0>();
  clear_sums<1>();
  for (int64_t at = 0; at < n_tiles * kTileBytes; at += kTileBytes) {
    load_tile<7>(panel + at);
    load_tile<6>(rows + at);
    Dot::template strip<0>();
    prefetch_tile(panel + at + kTileBytes);
    load_tile<6>(rows1 + at);
    Dot::template strip<1>();
    fetch.step();
  }
  store_sums<0>(sums, kSumsStride);
  store_sums<1>(sums + kTileRows * kSumsStride, kSumsStride);
}

// Two tiles of rows by all panels of a group.
template <typename Dot>
void row_pairs(const TileGroup& group, const std::byte* rows, std::byte* sums, FarPrefetch<Dot>& fetch) {
  for (int64_t p = 0; p < group.n_panels; ++p) {
    pair_of_rows(rows, group.panels[p], group.n_tiles, sums + p * kTileRowBytes, fetch);
  }
}

// The fetch of the group after `group`, spread over the products with this one; nothing for few rows.
template <typename Dot>
FarPrefetch<Dot> fetch_next(const PanelJob& job, const TileGroup& present, int64_t group, int64_t group_end) {
  const PanelWeights& w = *job.weights;
  const int64_t row_pairs = (job.rows + kTileRows - 1) / kTileRows / 2;
  FarPrefetch<Dot> fetch;
  if (group + 1 >= group_end || row_pairs == 0 || present.n_panels < 2) return fetch;
  const TileGroup next(w, group + 1);
  fetch.n_panels = next.n_panels;
  for (int64_t i = 0; i < next.n_panels; ++i) fetch.panels[i] = next.panels[i];
  fetch.n_passes = row_pairs * present.n_panels;
  fetch.lines_left = w.panel_bytes / kLineBytes;
  fetch.lines_per_step = kTileRows;
  return fetch;
}

// What Convert writes: finished values of 16 · n_panels columns, before activation and residual.
struct TileValues {
  int64_t row = 0;
  int64_t rows = 0;
  int64_t column = 0;
  int64_t n_panels = 0;
  float* to = nullptr;
  int64_t stride = 0;
};

// The whole product for groups [begin, end). Convert::write(job, values, sums) makes values of sums; both may be the
// same memory.
template <typename Dot, typename Convert>
void tile_columns(const PanelJob& job, int64_t group_begin, int64_t group_end) {
  const PanelWeights& w = *job.weights;
  alignas(64) std::byte sums[2 * kTileRows * kSumsStride];
  configure_tiles();
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  asm volatile("" : : : "memory");  // gcc 12 does not know that tile loads read the prepared rows
  for (int64_t g = group_begin; g < group_end; ++g) {
    const TileGroup group(w, g);
    const int64_t column = g * kGroupWidth;
    const int64_t n_columns = w.out_features - column < kGroupWidth ? w.out_features - column : kGroupWidth;
    const bool direct =
        job.activation == Activation::kNone && job.residual == nullptr && n_columns == group.n_panels * kPanelWidth;
    FarPrefetch<Dot> fetch = fetch_next<Dot>(job, group, g, group_end);
    for (int64_t row = 0; row < job.rows; row += 2 * kTileRows) {
      const int64_t rows = job.rows - row < 2 * kTileRows ? job.rows - row : 2 * kTileRows;
      const std::byte* from = job.rows_data + row / kTileRows * group.n_tiles * kTileBytes;
      if (rows <= kTileRows) {
        strip<Dot>(from, group.panels, group.n_panels, group.n_tiles, sums);
      } else {
        row_pairs<Dot>(group, from, sums, fetch);
      }
      float* const block = reinterpret_cast<float*>(sums);
      const TileValues values{.row = row,
                              .rows = rows,
                              .column = column,
                              .n_panels = group.n_panels,
                              .to = direct ? job.y + row * job.ldy + column : block,
                              .stride = direct ? job.ldy : kGroupWidth};
      Convert::write(job, values, sums);
      if (!direct) finish_block(job, block, row, rows, column, n_columns);
    }
  }
}

}  // namespace fettle::amx
