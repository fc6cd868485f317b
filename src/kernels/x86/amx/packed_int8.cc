#include <immintrin.h>

#include "kernels/packed_panels.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/packed_tiles.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"

namespace fettle::amx {
namespace {

struct Dequantize {
  static void block(const PanelJob& job, int64_t row, int64_t rows, int64_t column, int64_t n_panels, std::byte* sums) {
    for (int64_t p = 0; p < n_panels; ++p) {
      const __m512 weight_scale = _mm512_loadu_ps(job.weights->scales + column + p * kPanelWidth);
      const __m512 bias = _mm512_loadu_ps(job.weights->bias + column + p * kPanelWidth);
      for (int64_t r = 0; r < rows; ++r) {
        std::byte* at = sums + r * kSumsStride + p * kTileRowBytes;
        const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(job.row_scales[row + r]), weight_scale);
        const __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(at));
        _mm512_store_ps(at, _mm512_add_ps(_mm512_mul_ps(sum, scale), bias));
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
