#include <immintrin.h>

#include "kernels/packed_panels.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/packed_tiles.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"

namespace fettle::amx {
namespace {

struct Dequantize {
  struct Columns {
    __m512 scale;
    __m512 bias;
  };
  static Columns columns(const PanelWeights& w, int64_t c) {
    return {_mm512_loadu_ps(w.scales + c), _mm512_loadu_ps(w.bias + c)};
  }
  static __m512 value(const PanelJob& job, int64_t row, const std::byte* sums, const Columns& columns) {
    const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(job.row_scales[row]), columns.scale);
    return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums)), scale), columns.bias);
  }
};

constexpr PanelKernel kKernel{.weight_bytes = 1,
                              .k_group = 4,
                              .input_bytes = 1,
                              .k_multiple = 64,
                              .row_block = kTileRows,
                              .prepare = avx512::prepare_int8,
                              .columns = tile_columns<Int8Dot, Dequantize>};

}  // namespace

std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights) {
  return pack_int8_panels(weights, kKernel, avx512::install_training);
}

}  // namespace fettle::amx
