// Rows of quads of 16-bit inputs, turned for products with packed quads (kernels/packed_quads.h).
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "kernels/packed_quads.h"

namespace fettle::avx2 {
namespace {

// 16 rows of 64 bytes as eight quads' of 16 rows each, 8 bytes from each row.
inline void turn_quads(std::byte* lines, int64_t n_bytes) {
  constexpr int64_t kTileBytes = 16 * kLineBytes;
  alignas(32) std::byte turned[kTileBytes];
  for (std::byte* tile = lines; tile < lines + n_bytes; tile += kTileBytes) {
    for (int row = 0; row < 16; row += 4) {
      for (int quad = 0; quad < 8; quad += 4) {
        const auto load = [&](int i) {
          return _mm256_load_si256(reinterpret_cast<const __m256i*>(tile + (row + i) * kLineBytes + quad * 8));
        };
        const __m256i a = _mm256_unpacklo_epi64(load(0), load(1));
        const __m256i b = _mm256_unpackhi_epi64(load(0), load(1));
        const __m256i c = _mm256_unpacklo_epi64(load(2), load(3));
        const __m256i d = _mm256_unpackhi_epi64(load(2), load(3));
        const auto store = [&](int i, __m256i v) {
          _mm256_store_si256(reinterpret_cast<__m256i*>(turned + (quad + i) * 128 + row * 8), v);
        };
        store(0, _mm256_permute2x128_si256(a, c, 0x20));
        store(1, _mm256_permute2x128_si256(b, d, 0x20));
        store(2, _mm256_permute2x128_si256(a, c, 0x31));
        store(3, _mm256_permute2x128_si256(b, d, 0x31));
      }
    }
    __builtin_memcpy(tile, turned, kTileBytes);
  }
}

}  // namespace
}  // namespace fettle::avx2
