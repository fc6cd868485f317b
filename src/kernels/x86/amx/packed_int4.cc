// Products with 4-bit weights on AMX tiles. Up to 16 rows the weights are unpacked tile by tile into the first-level
// cache, one step ahead of the tiles, so that memory gives half the bytes of int8 as fast as it can. For more rows a
// group is unpacked once and then is like any int8 group.
#include <immintrin.h>

#include <utility>

#include "kernels/packed_int4.h"
#include "kernels/packed_panels.h"
#include "kernels/x86/amx/dequantize.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/packed_tiles.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"
#include "kernels/x86/avx512/unpack_int4.h"

namespace fettle::amx {
namespace {

template <typename Finisher>
class Int4Strips {
 public:
  explicit Int4Strips(const PanelJob& job) : job_(job), finisher_(job) {}

  void run(int64_t group_begin, int64_t group_end) {
    using Strip = void (Int4Strips::*)(const PanelsAhead&, std::byte*);
    static constexpr Strip kStrips[] = {&Int4Strips::strip_of<1>, &Int4Strips::strip_of<2>, &Int4Strips::strip_of<3>,
                                        &Int4Strips::strip_of<4>, &Int4Strips::strip_of<5>, &Int4Strips::strip_of<6>};
    for (int64_t g = group_begin; g < group_end; ++g) {
      const PanelsAhead panels = job_.weights->panels_of(g);
      std::byte* const sums = sums_[g % 2];
      (this->*kStrips[panels.n_panels - 1])(panels, sums);
      finisher_.take({.sums = sums,
                      .panel_stride = kTileBytes,
                      .n_panels = panels.n_panels,
                      .row = 0,
                      .rows = job_.rows,
                      .column = g * kGroupWidth});
    }
    finisher_.drain();
  }

 private:
  template <int kPanels>
  void strip_of(const PanelsAhead& panels, std::byte* sums) {
    strip(panels, sums, std::make_integer_sequence<int, kPanels>());
  }

  static void unpack(const std::byte* panel, int64_t tile, std::byte* to) {
    const std::byte* const ahead = panel + int4_nibbles_at(tile) + kInt4BlockBytes;
#pragma GCC unroll 9
    for (int64_t at = -kLineBytes; at < kInt4TileBytes; at += kLineBytes) prefetch_near(ahead + at);
    avx512::unpack_int4(panel, tile, to);
  }

  template <int... kPanel>
  void strip(const PanelsAhead& panels, std::byte* sums, std::integer_sequence<int, kPanel...>) {
    const int64_t n_tiles = job_.weights->k_padded / kInt4TileInputs;
    const int64_t n_steps = divide_up(Finisher::n_steps(job_.rows, panels.n_panels), n_tiles);
    (clear_sums<kPanel>(), ...);
    (unpack(panels.panels[kPanel], 0, tiles_[0][kPanel]), ...);
    for (int64_t t = 0; t < n_tiles; ++t) {
      asm volatile("" : : : "memory");  // gcc 12 does not know what tile loads read
      std::byte(*const now)[kTileBytes] = tiles_[t % 2];
      std::byte(*const next)[kTileBytes] = tiles_[(t + 1) % 2];
      load_tile<6>(job_.rows_data + t * kTileBytes);
      const bool more = t + 1 < n_tiles;
      ((load_tile<7>(now[kPanel]), Int8Dot::add<kPanel>(),
        more ? unpack(panels.panels[kPanel], t + 1, next[kPanel]) : void()),
       ...);
      for (int64_t i = 0; i < n_steps; ++i) finisher_.step();
    }
    (store_sums<kPanel>(sums + kPanel * kTileBytes, kTileRowBytes), ...);
  }

  const PanelJob& job_;
  Finisher finisher_;
  alignas(64) std::byte tiles_[2][kGroupPanels][kTileBytes];
  alignas(64) std::byte sums_[2][kGroupPanels * kTileBytes];
};

void columns(const PanelJob& job, int64_t group_begin, int64_t group_end) {
  if (job.rows <= kTileRows) {
    configure_tiles();
    with_activation(job.activation, [&]<Activation kind>() {
      Int4Strips<TileFinisher<Dequantize, kind>>(job).run(group_begin, group_end);
    });
    return;
  }
  for (int64_t g = group_begin; g < group_end; ++g) {
    const avx512::Int4Group group(job, g, group_end);
    tile_columns<Int8Dot, Dequantize>(group.job(), 0, 1);
  }
}

constexpr PanelKernel kKernel{.weight_bytes = 1,
                              .k_group = 4,
                              .input_bytes = 1,
                              .k_multiple = kInt4TileInputs,
                              .row_block = kTileRows,
                              .prepare = avx512::prepare_int8,
                              .columns = columns};

}  // namespace

std::unique_ptr<PackedLinear> pack_int4(const Int4Weights& weights) {
  if (weights.group_size % kInt4Shared != 0) return unpack_as_int8(weights, pack_int8);
  return pack_int4_panels(weights, kKernel, avx512::install_training);
}

}  // namespace fettle::amx
