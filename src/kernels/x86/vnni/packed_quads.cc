#include "kernels/packed_quads.h"

#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"
#include "kernels/x86/avx512/quad_products.h"
#include "kernels/x86/vnni/kernels.h"

namespace fettle::vnni {
namespace {

struct Quads : avx512::Uint8Quads<Quads> {
  static void to_bf16(const float*, uint16_t*, int64_t) {}
};

void prepare(const PrepareRows& from, std::byte* to, float* scales) {
  avx512::prepare_uint8(from, to, scales);
  avx512::turn_dwords(to, from.k_padded * kBlockRows);
}

constexpr QuadKernel kKernel{
    .input_bytes = 1, .max_blocks = Quads::kMaxBlocks, .prepare = prepare, .groups = quad_groups<Quads>};

}  // namespace

std::unique_ptr<PackedLinear> pack_sparse_int8(const LinearWeights& weights) {
  return pack_int8_quads(weights, kKernel, avx512::install_training);
}

}  // namespace fettle::vnni
