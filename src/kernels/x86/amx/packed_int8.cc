#include <immintrin.h>

#include "kernels/packed_panels.h"
#include "kernels/x86/amx/convert.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/packed_tiles.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"

namespace fettle::amx {
namespace {

constexpr PanelKernel kKernel{.weight_bytes = 1,
                              .k_group = 4,
                              .input_bytes = 1,
                              .k_multiple = 64,
                              .row_block = kTileRows,
                              .prepare = avx512::prepare_int8,
                              .prepare_bf16 = avx512::prepare_int8_of_bf16,
                              .columns = tile_columns<Int8Dot, Dequantize>};

}  // namespace

std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights) {
  return pack_int8_panels(weights, kKernel, avx512::install_training);
}

}  // namespace fettle::amx
