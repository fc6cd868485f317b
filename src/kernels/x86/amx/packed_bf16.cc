#include <immintrin.h>

#include "kernels/packed_panels.h"
#include "kernels/x86/amx/convert.h"
#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/packed_tiles.h"
#include "kernels/x86/avx512/kernels.h"

namespace fettle::amx {
namespace {

constexpr int64_t kPerLine = 32;

__m512 load(const float* x, int64_t n, int64_t k) {
  const int64_t left = n - k;
  const __mmask16 mask = left >= 16 ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1u << left) - 1);
  return _mm512_maskz_loadu_ps(mask, x + k);
}

}  // namespace

// Inputs rounded to bf16, to nearest even.
void prepare_bf16(const PrepareRows& from, std::byte* to, float*) {
  const int64_t line_stride = from.row_block * kLineBytes;
  for (int64_t r = 0; r < from.rows; ++r) {
    const float* x = from.x + r * from.ldx;
    std::byte* line = to + r * kLineBytes;
    for (int64_t k = 0; k < from.k_padded; k += kPerLine, line += line_stride) {
      const __m512bh pair = _mm512_cvtne2ps_pbh(load(x, from.in_features, k + 16), load(x, from.in_features, k));
      _mm512_store_si512(line, (__m512i)pair);
    }
  }
}

void copy_bf16(const PrepareRows& from, std::byte* to, float*) {
  const int64_t line_stride = from.row_block * kLineBytes;
  for (int64_t r = 0; r < from.rows; ++r) {
    const uint16_t* x = from.x_bf16 + r * from.ldx;
    std::byte* line = to + r * kLineBytes;
    for (int64_t k = 0; k < from.k_padded; k += kPerLine, line += line_stride) {
      const int64_t left = from.in_features - k;
      const __mmask32 lanes = left >= kPerLine ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
      _mm512_store_si512(line, _mm512_maskz_loadu_epi16(lanes, x + k));
    }
  }
}

namespace {

constexpr PanelKernel kKernel{.weight_bytes = 2,
                              .k_group = 2,
                              .input_bytes = 2,
                              .k_multiple = kPerLine,
                              .row_block = kTileRows,
                              .prepare = prepare_bf16,
                              .prepare_bf16 = copy_bf16,
                              .columns = tile_columns<Bf16Dot, AddBias>};

}  // namespace

std::unique_ptr<PackedLinear> pack_bf16(const LinearWeights& weights) {
  return pack_panels(weights, kKernel, avx512::install_training);
}

}  // namespace fettle::amx
