// f32 matrices rounded to bf16 and laid out as AMX tiles.
#pragma once

#include <cstdint>

namespace fettle::amx {

constexpr int64_t kDepth = 32;  // products that one tile instruction sums

// An operand of a product, seen as `lines` vectors of `depth` elements (rows of A, columns of B).
struct TileSource {
  const float* data = nullptr;
  int64_t stride = 0;          // between rows of the stored matrix
  bool lines_are_rows = true;  // stored [lines, depth], else [depth, lines]
  int64_t lines = 0;
  int64_t depth = 0;
  const uint16_t* data_bf16 = nullptr;  // in place of data
};

enum class TileForm {
  kLeft,   // 16 lines × 32 depth: tile row r holds line r
  kRight,  // 16 pairs of depth × 16 lines: tile row p holds elements 2p, 2p + 1 of each line
};

inline int64_t tiles_across(int64_t lines) {
  return (lines + 15) / 16;
}
inline int64_t tiles_deep(int64_t depth) {
  return (depth + kDepth - 1) / kDepth;
}

// A part of an operand: panels [panel_begin, panel_end), where panel p holds lines 16·p …, and tiles [tile_begin,
// tile_end) of their depth.
struct TileRange {
  int64_t panel_begin, panel_end;
  int64_t tile_begin, tile_end;
};

// Writes the range as tiles of 512 values, zero beyond the matrix: tile t of panel p at out + ((p - panel_begin) ·
// panel_tiles + t - tile_begin) · 512. out must be aligned to 64. Matrices whose rows are not lines are read fastest in
// wide ranges.
void pack_tiles(const TileSource& source, TileForm form, const TileRange& range, int64_t panel_tiles, uint16_t* out);

}  // namespace fettle::amx
