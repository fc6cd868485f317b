// Four-bit weights of a panel (kernels/int4_panels.h) as 8-bit numbers.
#pragma once

#include <immintrin.h>

#include <cstddef>

#include "kernels/int4_panels.h"
#include "kernels/packed_panels.h"
#include "kernels/scratch.h"

namespace fettle::avx512 {

// The multiples of one group, as factors for the words that the nibbles are moved into.
class Int4Factors {
 public:
  explicit Int4Factors(const std::byte* multiples) {
    const __m512i m =
        _mm512_castsi256_si512(_mm256_cvtepu8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(multiples))));
    // Word e belongs to columns 4 (e / 8) + e % 8 / 4, and two more for its odd nibbles.
    const __m512i first = _mm512_set_epi16(13, 13, 13, 13, 12, 12, 12, 12, 9, 9, 9, 9, 8, 8, 8, 8, 5, 5, 5, 5, 4, 4, 4,
                                           4, 1, 1, 1, 1, 0, 0, 0, 0);
    even_ = _mm512_permutexvar_epi16(first, m);
    odd_ = _mm512_permutexvar_epi16(_mm512_add_epi16(first, _mm512_set1_epi16(2)), m);
  }

  // Two lines of 8-bit numbers from 64 bytes. A nibble at the top of a word is 4096 times its value, and vpmulhrsw
  // divides the product with m by 32768, rounding halves up: (q m + 4) >> 3.
  void unpack(const std::byte* from, std::byte* to) const {
    const __m512i x = _mm512_load_si512(from);
    const __m512i shifted = _mm512_slli_epi16(x, 4);
    const __m512i top = _mm512_set1_epi16(static_cast<int16_t>(0xf000));
    const __m512i a = _mm512_mulhrs_epi16(lower_as_upper(shifted), even_);
    const __m512i b = _mm512_mulhrs_epi16(_mm512_and_si512(lower_as_upper(x), top), odd_);
    const __m512i c = _mm512_mulhrs_epi16(_mm512_and_si512(shifted, top), even_);
    const __m512i d = _mm512_mulhrs_epi16(_mm512_and_si512(x, top), odd_);
    _mm512_store_si512(to, _mm512_packs_epi16(a, b));
    _mm512_store_si512(to + kLineBytes, _mm512_packs_epi16(c, d));
  }

 private:
  // Every word's lower byte as its upper one: a shuffle, because multiplications and shifts want the same unit.
  static __m512i lower_as_upper(__m512i x) {
    const __m512i from =
        _mm512_broadcast_i32x4(_mm_setr_epi8(-1, 0, -1, 2, -1, 4, -1, 6, -1, 8, -1, 10, -1, 12, -1, 14));
    return _mm512_shuffle_epi8(x, from);
  }

  __m512i even_;
  __m512i odd_;
};

struct UnpackInt8 : Int4AsInt8 {
  // A tile of a panel, 1024 bytes.
  static void unpack(const std::byte* panel, int64_t tile, std::byte* to) {
    const std::byte* from = panel + nibbles_at(tile);
    const std::byte* multiples = panel + multiples_at(tile);
    for (int half = 0; half < 2; ++half) {
      const Int4Factors factors(multiples + half * kPanelWidth);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i, from += kLineBytes, to += 2 * kLineBytes) factors.unpack(from, to);
    }
  }
};

// One group of a product, with its weights unpacked into memory of the calling thread.
template <typename Unpack>
class Int4Group {
 public:
  Int4Group(const PanelJob& job, int64_t group, int64_t group_end) : weights_(*job.weights), job_(job) {
    const PanelWeights& w = *job.weights;
    const PanelsAhead panels = w.panels_of(group);
    constexpr int64_t kUnpackedTile = 1024;
    const int64_t n_tiles = w.k_padded / Unpack::kTileInputs;
    const int64_t bytes = n_tiles * kUnpackedTile;
    auto* unpacked = thread_scratch_of<std::byte>(ScratchUse::kBlock, static_cast<size_t>(kGroupPanels * bytes));
    for (int64_t tile = 0; tile < n_tiles; ++tile) {
      for (int64_t p = 0; p < panels.n_panels; ++p) {
        Unpack::unpack(panels.panels[p], tile, unpacked + p * bytes + tile * kUnpackedTile);
      }
    }
    const int64_t column = group * kGroupWidth;
    weights_.out_features = w.out_features - column < kGroupWidth ? w.out_features - column : kGroupWidth;
    weights_.n_panels = panels.n_panels;
    weights_.n_groups = 1;
    weights_.panel_bytes = bytes;
    weights_.data = unpacked;
    weights_.bias = w.bias + column;
    if (w.scales != nullptr) weights_.scales = w.scales + column;
    if (w.offsets != nullptr) weights_.offsets = w.offsets + column;
    job_.weights = &weights_;
    if (job.y != nullptr) job_.y = job.y + column;
    if (job.y_bf16 != nullptr) job_.y_bf16 = job.y_bf16 + column;
    if (job.residual != nullptr) job_.residual = job.residual + column;
    if (group + 1 < group_end) job_.ahead = w.panels_of(group + 1);
  }
  Int4Group(const Int4Group&) = delete;
  const PanelJob& job() const { return job_; }

 private:
  PanelWeights weights_;
  PanelJob job_;
};

}  // namespace fettle::avx512
