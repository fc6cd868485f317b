#include "kernels/int4_panels.h"

#include <algorithm>
#include <cstring>

namespace fettle {
namespace {

// Nibble i of the four in the lowest bits of 16-bit word i.
uint64_t spread(uint32_t four_nibbles) {
  const uint64_t bytes = (four_nibbles | uint64_t{four_nibbles} << 24) & 0x000000ff000000ff;
  return (bytes | bytes << 12) & 0x000f000f000f000f;
}

template <typename Word>
void or_into(std::byte* to, Word bits) {
  Word there = 0;
  std::memcpy(&there, to, sizeof there);
  there |= bits;
  std::memcpy(to, &there, sizeof there);
}

}  // namespace

void fill_int4_panel(const Int4Weights& from, const Int4Codes& codes, int64_t first_column, std::byte* panel) {
  const int64_t n_columns = std::min(kPanelWidth, from.out_features - first_column);
  for (int64_t c = 0; c < n_columns; ++c) {
    const uint8_t* multiples = codes.multiples.data() + (first_column + c) * codes.n_groups;
    // A column's eight weights are in four words of their line, two nibbles of each.
    const int64_t first_word = c / 4 * 8 + c % 2 * 4;
    const int64_t first_bit = c / 2 % 2 * 4;
    for (int64_t k = 0; k < from.in_features; k += 8) {
      const int64_t tile = k / Int4AsInt8::kTileInputs;
      const int64_t in_tile = k % Int4AsInt8::kTileInputs;
      const uint32_t eight = int4_eight(from, first_column + c, k);
      std::byte* const line = panel + Int4AsInt8::nibbles_at(tile) + in_tile / 8 * kLineBytes;
      or_into(line + 2 * first_word, (spread(eight & 0xffff) | spread(eight >> 16) << 8) << first_bit);
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
    for (int64_t k = 0; k < from.in_features; k += 8) {
      std::byte* const tile = panel + k / Int4AsBf16::kTileInputs * Int4AsBf16::kTileBytes;
      const int64_t in_tile = k % Int4AsBf16::kTileInputs;
      std::byte* const line = tile + kLineBytes + in_tile / 8 * kLineBytes;
      or_into(line + 4 * c, int4_eight(from, first_column + c, k));
      if (in_tile > 0) continue;
      const float scale = from.scales[(first_column + c) * n_groups + k / from.group_size];
      std::memcpy(tile + c * static_cast<int64_t>(sizeof scale), &scale, sizeof scale);
    }
  }
}

}  // namespace fettle
