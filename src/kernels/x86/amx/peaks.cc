#include <immintrin.h>

#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/tiles.h"
#include "kernels/x86/vnni/kernels.h"

namespace fettle::amx {
namespace {

// Tiles of zeros leave all physical registers to the sums, so that the loops show the unit's own limit.
void clear_tiles() {
  configure_tiles();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

int64_t bf16_loop(int64_t rounds) {
  clear_tiles();
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  return rounds * 4 * 16 * 16 * 32 * 2;
}

int64_t int8_loop(int64_t rounds) {
  clear_tiles();
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  return rounds * 4 * 16 * 16 * 64 * 2;
}

}  // namespace

const PeakLoops& peaks() {
  static const PeakLoops loops = {vnni::peaks().f32, bf16_loop, int8_loop};
  return loops;
}

}  // namespace fettle::amx
