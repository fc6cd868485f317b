// Tile instructions with the tile as a template argument: the compiler's own want literal numbers.
//
// Tiles 0 to 5 are sums, 6 is rows, 7 is weights.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace fettle::amx {

constexpr int kSumTiles = 6;

template <int kTile>
inline void clear_sums() {
  static_assert(kTile >= 0 && kTile < kSumTiles);
  if constexpr (kTile == 0) _tile_zero(0);
  if constexpr (kTile == 1) _tile_zero(1);
  if constexpr (kTile == 2) _tile_zero(2);
  if constexpr (kTile == 3) _tile_zero(3);
  if constexpr (kTile == 4) _tile_zero(4);
  if constexpr (kTile == 5) _tile_zero(5);
}

template <int kTile>
inline void store_sums(void* to, int64_t stride_bytes) {
  static_assert(kTile >= 0 && kTile < kSumTiles);
  if constexpr (kTile == 0) _tile_stored(0, to, stride_bytes);
  if constexpr (kTile == 1) _tile_stored(1, to, stride_bytes);
  if constexpr (kTile == 2) _tile_stored(2, to, stride_bytes);
  if constexpr (kTile == 3) _tile_stored(3, to, stride_bytes);
  if constexpr (kTile == 4) _tile_stored(4, to, stride_bytes);
  if constexpr (kTile == 5) _tile_stored(5, to, stride_bytes);
}

// Sums that were stored as [16][16].
template <int kTile>
inline void load_sums(const void* from) {
  static_assert(kTile >= 0 && kTile < 2);
  if constexpr (kTile == 0) _tile_loadd(0, from, 64);
  if constexpr (kTile == 1) _tile_loadd(1, from, 64);
}

// A tile of 16 lines of 64 bytes, one behind the other.
template <int kTile>
inline void load_tile(const void* from) {
  static_assert(kTile == 6 || kTile == 7);
  if constexpr (kTile == 6) _tile_loadd(6, from, 64);
  if constexpr (kTile == 7) _tile_loadd(7, from, 64);
}

// sums += rows · weights
struct Int8Dot {
  template <int kSum>
  static void add() {
    static_assert(kSum >= 0 && kSum < kSumTiles);
    if constexpr (kSum == 0) _tile_dpbssd(0, 6, 7);
    if constexpr (kSum == 1) _tile_dpbssd(1, 6, 7);
    if constexpr (kSum == 2) _tile_dpbssd(2, 6, 7);
    if constexpr (kSum == 3) _tile_dpbssd(3, 6, 7);
    if constexpr (kSum == 4) _tile_dpbssd(4, 6, 7);
    if constexpr (kSum == 5) _tile_dpbssd(5, 6, 7);
  }
};

struct Bf16Dot {
  template <int kSum>
  static void add() {
    static_assert(kSum >= 0 && kSum < kSumTiles);
    if constexpr (kSum == 0) _tile_dpbf16ps(0, 6, 7);
    if constexpr (kSum == 1) _tile_dpbf16ps(1, 6, 7);
    if constexpr (kSum == 2) _tile_dpbf16ps(2, 6, 7);
    if constexpr (kSum == 3) _tile_dpbf16ps(3, 6, 7);
    if constexpr (kSum == 4) _tile_dpbf16ps(4, 6, 7);
    if constexpr (kSum == 5) _tile_dpbf16ps(5, 6, 7);
  }
};

}  // namespace fettle::amx
