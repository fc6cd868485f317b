// Tile instructions with the tile as a template argument: the compiler's own want literal numbers.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace fettle::amx {

// By convention tiles 0 to 5 hold sums, tile 6 the rows and tile 7 the weights of the next product.
constexpr int kSumTiles = 6;
constexpr int kRowTile = 6;
constexpr int kWeightTile = 7;

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

inline void load_rows(const void* from) {
  _tile_loadd(6, from, 64);
}
inline void load_weights(const void* from) {
  _tile_loadd(7, from, 64);
}

// sums += rows · weights
struct Int8Dot {
  template <int kTile>
  static void add() {
    static_assert(kTile >= 0 && kTile < kSumTiles);
    if constexpr (kTile == 0) _tile_dpbssd(0, 6, 7);
    if constexpr (kTile == 1) _tile_dpbssd(1, 6, 7);
    if constexpr (kTile == 2) _tile_dpbssd(2, 6, 7);
    if constexpr (kTile == 3) _tile_dpbssd(3, 6, 7);
    if constexpr (kTile == 4) _tile_dpbssd(4, 6, 7);
    if constexpr (kTile == 5) _tile_dpbssd(5, 6, 7);
  }
};

struct Bf16Dot {
  template <int kTile>
  static void add() {
    static_assert(kTile >= 0 && kTile < kSumTiles);
    if constexpr (kTile == 0) _tile_dpbf16ps(0, 6, 7);
    if constexpr (kTile == 1) _tile_dpbf16ps(1, 6, 7);
    if constexpr (kTile == 2) _tile_dpbf16ps(2, 6, 7);
    if constexpr (kTile == 3) _tile_dpbf16ps(3, 6, 7);
    if constexpr (kTile == 4) _tile_dpbf16ps(4, 6, 7);
    if constexpr (kTile == 5) _tile_dpbf16ps(5, 6, 7);
  }
};

}  // namespace fettle::amx
