// Quads have no use for tiles: these are vnni's products, with the rows in bf16 that tiles pass on.
#include "kernels/packed_quads.h"

#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/amx/tile_finisher.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"
#include "kernels/x86/avx512/quad_products.h"

namespace fettle::amx {
namespace {

struct Quads : avx512::Uint8Quads<Quads> {
  static void to_bf16(const float* from, uint16_t* to, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) {
      const __mmask16 lanes = n - i >= 16 ? 0xffff : static_cast<__mmask16>((1u << (n - i)) - 1);
      _mm256_mask_storeu_epi16(to + i, lanes, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, from + i)));
    }
  }
};

void prepare(const PrepareRows& from, std::byte* to, float* scales) {
  avx512::prepare_uint8(from, to, scales);
  avx512::turn_dwords(to, from.k_padded * kBlockRows);
}
void prepare_bf16_rows(const PrepareRows& from, std::byte* to, float* scales) {
  avx512::prepare_uint8_of_bf16(from, to, scales);
  avx512::turn_dwords(to, from.k_padded * kBlockRows);
}

// The bits that products on tiles give.
void activate(Activation kind, const float* x, float* y, int64_t n) {
  with_activation(kind, [&]<Activation activation>() {
    const FusedActivation<activation> function;
    for (int64_t i = 0; i < n; i += 16) {
      const __mmask16 lanes = n - i >= 16 ? 0xffff : static_cast<__mmask16>((1u << (n - i)) - 1);
      _mm512_mask_storeu_ps(y + i, lanes, function(_mm512_maskz_loadu_ps(lanes, x + i)));
    }
  });
}

void install(KernelTable& table) {
  avx512::install_training(table);
  table.activate = activate;
}

constexpr QuadKernel kKernel{.input_bytes = 1,
                             .max_blocks = Quads::kMaxBlocks,
                             .prepare = prepare,
                             .prepare_bf16 = prepare_bf16_rows,
                             .groups = quad_groups<Quads>};

}  // namespace

std::unique_ptr<PackedLinear> pack_sparse_int8(const LinearWeights& weights) {
  return pack_int8_quads(weights, kKernel, install);
}

}  // namespace fettle::amx
