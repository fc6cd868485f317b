// Panels of 4-bit weights: what pack_int4_panels and pack_int4_bf16_panels lay out and the kernels unpack.
//
// For products with int8 inputs a panel is a row of blocks of 128 inputs (the last may have 64): multiples
// (kernels/packed_int4.h) [4][16], one for each 32 inputs and column, then lines of 64 bytes for 8 inputs × 16 columns,
// two lines of an int8 panel (k_group 4) once unpacked. 16-bit word e of a line has, from its lowest bits on, bytes b
// and b + 8 of the first unpacked line and then those of the second, where b = e + e / 8 · 8.
//
// For products with bf16 inputs it is a row of blocks of 32 inputs: scales f32 [16], then lines of 64 bytes for 8
// inputs × 16 columns: dword c has the column's eight weights from its lowest bits on. k_group is 2 once unpacked.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed_int4.h"
#include "kernels/packed_panels.h"

namespace fettle {

inline constexpr int64_t kInt4Shared = 32;  // inputs that share a multiple or a scale

struct Int4AsInt8 {
  static constexpr int64_t kTileInputs = 64;  // of an AMX tile of int8
  static constexpr int64_t kTileBytes = kTileInputs * kPanelWidth / 2;
  static constexpr int64_t kBlockBytes = kLineBytes + 2 * kTileBytes;
  static int64_t panel_bytes(int64_t n_tiles) { return n_tiles * kTileBytes + (n_tiles + 1) / 2 * kLineBytes; }
  // Where a tile's nibbles and multiples are in a panel.
  static int64_t nibbles_at(int64_t tile) { return tile / 2 * kBlockBytes + kLineBytes + tile % 2 * kTileBytes; }
  static int64_t multiples_at(int64_t tile) { return tile / 2 * kBlockBytes + tile % 2 * (kLineBytes / 2); }
};

struct Int4AsBf16 {
  static constexpr int64_t kTileInputs = 32;  // of an AMX tile of bf16
  static constexpr int64_t kTileBytes = kLineBytes + kTileInputs * kPanelWidth / 2;
  static int64_t panel_bytes(int64_t n_tiles) { return n_tiles * kTileBytes; }
};

// One panel of 16 columns; the memory is zero before.
void fill_int4_panel(const Int4Weights& from, const Int4Codes& codes, int64_t first_column, std::byte* panel);
void fill_int4_bf16_panel(const Int4Weights& from, int64_t first_column, std::byte* panel);

}  // namespace fettle
