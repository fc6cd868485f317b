// The one tile configuration that all AMX kernels use: eight tiles of 16 rows of 64 bytes.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/vector/prefetch.h"

namespace fettle::amx {

constexpr int kTileRows = 16;
constexpr int kTileRowBytes = 64;
constexpr int kTileBytes = kTileRows * kTileRowBytes;

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);

// To be called on every thread before its first tile instruction, at the start of every task. About 10 ns when the
// tiles are configured so already (loading a configuration takes 200 ns), whatever other code has done with them in
// between.
inline void configure_tiles() {
  static constexpr TileConfig config;
  TileConfig current;
  _tile_storeconfig(&current);
  // gcc 12 declares that both instructions touch less memory than they do; without this the stores that fill a
  // configuration may vanish.
  __asm__ volatile("" ::"r"(&config), "r"(&current) : "memory");
  const __m512i difference = _mm512_xor_si512(_mm512_load_si512(&config), _mm512_load_si512(&current));
  if (_mm512_test_epi64_mask(difference, difference) != 0) _tile_loadconfig(&config);
}

// Into the first-level cache.
[[gnu::always_inline]] inline void prefetch_tile(const void* tile) {
  const auto* lines = static_cast<const char*>(tile);
#pragma GCC unroll 16
  for (int row = 0; row < kTileRows; ++row) prefetch_near(lines + row * kTileRowBytes);
}

}  // namespace fettle::amx
