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

// Writes panel `panel` (lines 16·panel …) as tiles_deep(depth) consecutive tiles of 512 values, zero beyond the matrix.
// out must be aligned to 64.
void pack_panel(const TileSource& source, TileForm form, int64_t panel, uint16_t* out);

}  // namespace fettle::amx
