#include "kernels/int4_panels.h"

#include <algorithm>
#include <cstring>

namespace fettle {
namespace {

// Nibble n of the bytes at `to`.
void put_nibble(std::byte* to, int64_t n, int value) {
  const auto nibble = static_cast<std::byte>(value & 15);
  to[n / 2] |= n % 2 == 0 ? nibble : nibble << 4;
}

}  // namespace

void fill_int4_panel(const Int4Weights& from, const Int4Codes& codes, int64_t first_column, std::byte* panel) {
  const int64_t n_columns = std::min(kPanelWidth, from.out_features - first_column);
  for (int64_t c = 0; c < n_columns; ++c) {
    const uint8_t* multiples = codes.multiples.data() + (first_column + c) * codes.n_groups;
    for (int64_t k = 0; k < from.in_features; ++k) {
      const int64_t tile = k / Int4AsInt8::kTileInputs;
      const int64_t in_tile = k % Int4AsInt8::kTileInputs;
      const int64_t byte = k % 4 + 4 * c;  // of its unpacked line
      const int64_t word = byte / 16 * 8 + byte % 8;
      const int64_t nibble = k / 4 % 2 * 2 + byte / 8 % 2;
      std::byte* const line = panel + Int4AsInt8::nibbles_at(tile) + in_tile / 8 * kLineBytes;
      put_nibble(line, word * 4 + nibble, int4_value(from, first_column + c, k));
      if (k % kInt4Shared > 0) continue;
      panel[Int4AsInt8::multiples_at(tile) + in_tile / kInt4Shared * kPanelWidth + c] =
          static_cast<std::byte>(multiples[k / from.group_size]);
    }
  }
}

void fill_int4_bf16_panel(const Int4Weights& from, int64_t first_column, std::byte* panel) {
  const int64_t n_columns = std::min(kPanelWidth, from.out_features - first_column);
  const int64_t n_groups = (from.in_features + from.group_size - 1) / from.group_size;
  for (int64_t c = 0; c < n_columns; ++c) {
    for (int64_t k = 0; k < from.in_features; ++k) {
      std::byte* const tile = panel + k / Int4AsBf16::kTileInputs * Int4AsBf16::kTileBytes;
      const int64_t in_tile = k % Int4AsBf16::kTileInputs;
      std::byte* const line = tile + kLineBytes + in_tile / 8 * kLineBytes;
      put_nibble(line, c * 8 + in_tile % 8, int4_value(from, first_column + c, k));
      if (in_tile > 0) continue;
      const float scale = from.scales[(first_column + c) * n_groups + k / from.group_size];
      std::memcpy(tile + c * static_cast<int64_t>(sizeof scale), &scale, sizeof scale);
    }
  }
}

}  // namespace fettle
