#include <immintrin.h>

#include "kernels/packed_panels.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/packed_tiles.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"

namespace fettle::amx {
namespace {

struct Dequantize {
  static void write(const PanelJob& job, const TileValues& values, const std::byte* sums) {
    const PanelWeights& w = *job.weights;
    for (int64_t p = 0; p < values.n_panels; ++p) {
      const int64_t at = p * kPanelWidth;
      const __m512 weight_scale = _mm512_loadu_ps(w.scales + values.column + at);
      const __m512 bias = _mm512_loadu_ps(w.bias + values.column + at);
      for (int64_t r = 0; r < values.rows; ++r) {
        const __m512i sum = _mm512_load_si512(sums + r * kSumsStride + at * 4);
        const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(job.row_scales[values.row + r]), weight_scale);
        const __m512 value = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale), bias);
        _mm512_storeu_ps(values.to + r * values.stride + at, value);
      }
    }
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
