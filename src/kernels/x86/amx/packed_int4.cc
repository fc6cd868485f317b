// Products of int8 and bf16 inputs with 4-bit weights on AMX tiles. Up to 16 rows the weights are unpacked tile by tile
// into the first-level cache, one step ahead of the tiles, so that memory gives their few bytes as fast as it can. For
// more rows a group is unpacked once and then is like any other.
#include <immintrin.h>

#include <utility>

#include "kernels/int4_panels.h"
#include "kernels/packed_int4.h"
#include "kernels/packed_panels.h"
#include "kernels/x86/amx/convert.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/packed_tiles.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"
#include "kernels/x86/avx512/unpack_int4.h"

namespace fettle::amx {
namespace {

// Eight inputs × 16 columns of nibbles as four rows of a bf16 tile, scaled.
struct UnpackBf16 : Int4AsBf16 {
  static void unpack(const std::byte* panel, int64_t tile, std::byte* to) {
    const std::byte* from = panel + tile * kTileBytes;
    const __m512 scale = _mm512_load_ps(from);
    for (from += kLineBytes; from < panel + (tile + 1) * kTileBytes; from += kLineBytes) {
      const __m512i x = _mm512_load_si512(from);
      store_pair<0>(x, scale, to);
      store_pair<1>(x, scale, to + kLineBytes);
      store_pair<2>(x, scale, to + 2 * kLineBytes);
      store_pair<3>(x, scale, to + 3 * kLineBytes);
      to += 4 * kLineBytes;
    }
  }

 private:
  // A look-up wants just the nibble at the bottom of each index, and another unit than shifts do.
  template <int kNibble>
  static __m512 value(__m512i x, __m512 scale) {
    const __m512 values = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
    const __m512i index = kNibble == 0 ? x : _mm512_srli_epi32(x, 4 * kNibble);
    return _mm512_mul_ps(_mm512_permutexvar_ps(index, values), scale);
  }
  template <int kPair>
  static void store_pair(__m512i x, __m512 scale, std::byte* to) {
    const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                                6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512bh both = _mm512_cvtne2ps_pbh(value<2 * kPair + 1>(x, scale), value<2 * kPair>(x, scale));
    _mm512_store_si512(to, _mm512_permutexvar_epi16(interleave, (__m512i)both));
  }
};

template <typename Unpack, typename Dot, typename Finisher>
class Int4Strips {
 public:
  explicit Int4Strips(const PanelJob& job) : job_(job) {}

  void run(int64_t group_begin, int64_t group_end) {
    using Strip = void (Int4Strips::*)(const PanelsAhead&, std::byte*);
    static constexpr Strip kStrips[] = {&Int4Strips::strip_of<1>, &Int4Strips::strip_of<2>, &Int4Strips::strip_of<3>,
                                        &Int4Strips::strip_of<4>, &Int4Strips::strip_of<5>, &Int4Strips::strip_of<6>};
    for (int64_t g = group_begin; g < group_end; ++g) {
      const PanelsAhead panels = job_.weights->panels_of(g);
      std::byte* const sums = sums_[g % 2];
      (this->*kStrips[panels.n_panels - 1])(panels, sums);
      pending_ = {.sums = sums,
                  .panel_stride = kTileBytes,
                  .n_panels = panels.n_panels,
                  .row = 0,
                  .rows = job_.rows,
                  .column = g * kGroupWidth};
    }
    Finisher(job_, pending_).drain();
  }

 private:
  template <int kPanels>
  void strip_of(const PanelsAhead& panels, std::byte* sums) {
    strip(panels, sums, std::make_integer_sequence<int, kPanels>());
  }

  static void unpack(const std::byte* panel, int64_t tile, std::byte* to) {
    constexpr int64_t kAhead = 1024;
    const std::byte* const ahead = panel + Unpack::panel_bytes(tile) + kAhead;
#pragma GCC unroll 9
    for (int64_t at = 0; at < Unpack::kTileBytes + kLineBytes; at += kLineBytes) prefetch_near(ahead + at);
    Unpack::unpack(panel, tile, to);
  }

  template <int... kPanel>
  void strip(const PanelsAhead& panels, std::byte* sums, std::integer_sequence<int, kPanel...>) {
    const int64_t n_tiles = job_.weights->k_padded / Unpack::kTileInputs;
    const int64_t n_steps = divide_up(Finisher::n_steps(job_.rows, panels.n_panels), n_tiles);
    Finisher finisher(job_, pending_);
    (clear_sums<kPanel>(), ...);
    (unpack(panels.panels[kPanel], 0, tiles_[0][kPanel]), ...);
    for (int64_t t = 0; t < n_tiles; ++t) {
      asm volatile("" : : : "memory");  // gcc 12 does not know what tile loads read
      std::byte(*const now)[kTileBytes] = tiles_[t % 2];
      std::byte(*const next)[kTileBytes] = tiles_[(t + 1) % 2];
      load_tile<6>(job_.rows_data + t * kTileBytes);
      const bool more = t + 1 < n_tiles;
      ((load_tile<7>(now[kPanel]), Dot::template add<kPanel>(),
        more ? unpack(panels.panels[kPanel], t + 1, next[kPanel]) : void()),
       ...);
      for (int64_t i = 0; i < n_steps; ++i) finisher.step();
    }
    (store_sums<kPanel>(sums + kPanel * kTileBytes, kTileRowBytes), ...);
    finisher.drain();
  }

  const PanelJob& job_;
  TileSums pending_;
  alignas(64) std::byte tiles_[2][kGroupPanels][kTileBytes];
  alignas(64) std::byte sums_[2][kGroupPanels * kTileBytes];
};

template <typename Unpack, typename Dot, typename Convert>
void columns(const PanelJob& job, int64_t group_begin, int64_t group_end) {
  if (job.rows <= kTileRows) {
    configure_tiles();
    with_activation(job.activation, [&]<Activation kind>() {
      Int4Strips<Unpack, Dot, TileFinisher<Convert, kind>>(job).run(group_begin, group_end);
    });
    return;
  }
  for (int64_t g = group_begin; g < group_end; ++g) {
    const avx512::Int4Group<Unpack> group(job, g, group_end);
    tile_columns<Dot, Convert>(group.job(), 0, 1);
  }
}

constexpr PanelKernel kInt8Kernel{.weight_bytes = 1,
                                  .k_group = 4,
                                  .input_bytes = 1,
                                  .k_multiple = Int4AsInt8::kTileInputs,
                                  .row_block = kTileRows,
                                  .prepare = avx512::prepare_int8,
                                  .prepare_bf16 = avx512::prepare_int8_of_bf16,
                                  .columns = columns<avx512::UnpackInt8, Int8Dot, Dequantize>};

constexpr PanelKernel kBf16Kernel{.weight_bytes = 2,
                                  .k_group = 2,
                                  .input_bytes = 2,
                                  .k_multiple = Int4AsBf16::kTileInputs,
                                  .row_block = kTileRows,
                                  .prepare = prepare_bf16,
                                  .prepare_bf16 = copy_bf16,
                                  .columns = columns<UnpackBf16, Bf16Dot, AddBias>};

}  // namespace

std::unique_ptr<PackedLinear> pack_int4(const Int4Weights& weights) {
  if (weights.group_size % kInt4Shared != 0) return unpack_as_int8(weights, pack_int8);
  return pack_int4_panels(weights, kInt8Kernel, avx512::install_training);
}
std::unique_ptr<PackedLinear> pack_int4_bf16(const Int4Weights& weights) {
  if (weights.group_size % kInt4Shared != 0) return unpack_as_bf16(weights, pack_bf16);
  return pack_int4_bf16_panels(weights, kBf16Kernel, avx512::install_training);
}

}  // namespace fettle::amx
