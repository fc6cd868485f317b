// Products of prepared rows with packed panels on AMX tiles, for int8 and bf16.
//
// Up to 16 rows: one tile of rows by the six panels of a group, whose weights come straight from memory in six streams.
// More rows: two tiles of rows by three panels, while the next group's weights are fetched into the second-level cache.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <utility>

#include "kernels/packed_panels.h"
#include "kernels/x86/amx/tile_ops.h"
#include "kernels/x86/amx/tiles.h"
#include "kernels/x86/prefetch.h"

namespace fettle::amx {

constexpr int64_t kNearPrefetch = 1024;  // bytes ahead in each stream
constexpr int64_t kSumsStride = kGroupWidth * 4;

// Sums of kRows tiles of rows by kPanels panels; sums [16 · kRows][kSumsStride bytes]. rows[i] and panels[i] point at
// their first of n_tiles tiles.
template <typename Dot, int kRows, int kPanels>
struct TileBlock {
  static constexpr int kTiles = kRows * kPanels;
  const std::byte* rows[kRows];
  const std::byte* panels[kPanels];
  int64_t n_tiles;

  template <int kRow, int... kPanel>
  void add_row(int64_t at, std::integer_sequence<int, kPanel...>) const {
    load_rows(rows[kRow] + at);
    ((load_weights(panels[kPanel] + at), Dot::template add<kRow * kPanels + kPanel>()), ...);
  }
  template <int... kRow>
  void add_rows(int64_t at, std::integer_sequence<int, kRow...>) const {
    (add_row<kRow>(at, std::make_integer_sequence<int, kPanels>()), ...);
  }
  template <int... kTile>
  static void clear(std::integer_sequence<int, kTile...>) {
    (clear_sums<kTile>(), ...);
  }
  template <int... kTile>
  static void store(std::byte* sums, std::integer_sequence<int, kTile...>) {
    (store_sums<kTile>(sums + kTile / kPanels * kTileRows * kSumsStride + kTile % kPanels * kTileRowBytes, kSumsStride),
     ...);
  }

  template <typename Prefetch>
  void run(std::byte* sums, Prefetch&& prefetch) const {
    constexpr auto kAll = std::make_integer_sequence<int, kTiles>();
    clear(kAll);
    for (int64_t t = 0; t < n_tiles; ++t) {
      prefetch(t * kTileBytes);
      add_rows(t * kTileBytes, std::make_integer_sequence<int, kRows>());
    }
    store(sums, kAll);
  }
};

// Where a product's blocks find their operands: the panels of one group.
struct TileGroup {
  const std::byte* panels[kGroupPanels] = {};
  int64_t n_panels = 0;
  int64_t n_tiles = 0;  // of depth

  TileGroup(const PanelWeights& w, int64_t group)
      : n_panels(w.panels_in_group(group)), n_tiles(w.panel_bytes / kTileBytes) {
    for (int64_t i = 0; i < n_panels; ++i) panels[i] = w.panel(group, i);
  }
};

template <typename Dot, int kPanels>
void one_tile_of_rows(const TileGroup& group, const std::byte* rows, std::byte* sums) {
  TileBlock<Dot, 1, kPanels> block{.rows = {rows}, .panels = {}, .n_tiles = group.n_tiles};
  for (int i = 0; i < kPanels; ++i) block.panels[i] = group.panels[i];
  block.run(sums, [&](int64_t at) {
    for (int64_t line = at + kNearPrefetch; line < at + kNearPrefetch + kTileBytes; line += kLineBytes) {
      for (int i = 0; i < kPanels; ++i) {
        prefetch_near(block.panels[i] + line);
      }
    }
  });
}

template <typename Dot, int kPanels>
void two_tiles_of_rows(const TileGroup& group, int64_t first_panel, const std::byte* rows, std::byte* sums,
                       FarPrefetch<Dot>& fetch) {
  TileBlock<Dot, 2, kPanels> block{
      .rows = {rows, rows + group.n_tiles * kTileBytes}, .panels = {}, .n_tiles = group.n_tiles};
  for (int i = 0; i < kPanels; ++i) block.panels[i] = group.panels[first_panel + i];
  block.run(sums + first_panel * kTileRowBytes, [&](int64_t) { fetch.step(); });
}

template <typename Dot>
void one_tile_of_rows(const TileGroup& group, const std::byte* rows, std::byte* sums) {
  using Run = void (*)(const TileGroup&, const std::byte*, std::byte*);
  static constexpr Run kRuns[] = {one_tile_of_rows<Dot, 1>, one_tile_of_rows<Dot, 2>, one_tile_of_rows<Dot, 3>,
                                  one_tile_of_rows<Dot, 4>, one_tile_of_rows<Dot, 5>, one_tile_of_rows<Dot, 6>};
  kRuns[group.n_panels - 1](group, rows, sums);
}

template <typename Dot>
void two_tiles_of_rows(const TileGroup& group, const std::byte* rows, std::byte* sums, FarPrefetch<Dot>& fetch) {
  using Run = void (*)(const TileGroup&, int64_t, const std::byte*, std::byte*, FarPrefetch<Dot>&);
  static constexpr Run kRuns[] = {two_tiles_of_rows<Dot, 1>, two_tiles_of_rows<Dot, 2>, two_tiles_of_rows<Dot, 3>};
  for (int64_t first = 0; first < group.n_panels; first += 3) {
    const int64_t n = group.n_panels - first;
    kRuns[(n < 3 ? n : 3) - 1](group, first, rows, sums, fetch);
  }
}

// The whole product for groups [begin, end). Convert::block(job, row, rows, column, n_panels, sums) turns sums into f32
// in place.
template <typename Dot, typename Convert>
void tile_columns(const PanelJob& job, int64_t group_begin, int64_t group_end) {
  const PanelWeights& w = *job.weights;
  alignas(64) std::byte sums[2 * kTileRows * kSumsStride];
  configure_tiles();
  for (int64_t g = group_begin; g < group_end; ++g) {
    const TileGroup group(w, g);
    const int64_t column = g * kGroupWidth;
    const int64_t n_columns = w.out_features - column < kGroupWidth ? w.out_features - column : kGroupWidth;
    const int64_t row_pairs = (job.rows + kTileRows - 1) / kTileRows / 2;
    FarPrefetch<Dot> fetch;
    if (g + 1 < group_end && row_pairs > 0) {
      const TileGroup next(w, g + 1);
      fetch.n_panels = next.n_panels;
      for (int64_t i = 0; i < next.n_panels; ++i) fetch.panels[i] = next.panels[i];
      fetch.n_passes = row_pairs * ((group.n_panels + 2) / 3);
      fetch.lines_left = w.panel_bytes / kLineBytes;
      fetch.lines_per_step = kTileRows;
    }
    for (int64_t row = 0; row < job.rows; row += 2 * kTileRows) {
      const int64_t rows = job.rows - row < 2 * kTileRows ? job.rows - row : 2 * kTileRows;
      const std::byte* from = job.rows_data + row / kTileRows * group.n_tiles * kTileBytes;
      if (rows <= kTileRows) {
        one_tile_of_rows<Dot>(group, from, sums);
      } else {
        two_tiles_of_rows<Dot>(group, from, sums, fetch);
      }
      Convert::block(job, row, rows, column, group.n_panels, sums);
      finish_block(job, reinterpret_cast<float*>(sums), row, rows, column, n_columns);
    }
  }
}

}  // namespace fettle::amx
