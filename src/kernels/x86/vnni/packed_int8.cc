#include "kernels/vector/packed_vectors.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"
#include "kernels/x86/avx512/vector_products.h"
#include "kernels/x86/vnni/kernels.h"

namespace fettle::vnni {
namespace {

// vpdpbusd takes one unsigned operand: inputs have 128 added, and 128 · Σ w is subtracted from the sums.
struct Int8Product : avx512::Int8Sums<Int8Product> {
  static constexpr int64_t kStepBytes = 64;
  static Weights weights(const std::byte* p) { return _mm512_load_si512(p); }
  // The intrinsic makes gcc 12 copy every sum, and spill some, at every step.
  static Sum add(Sum sum, Input input, Weights weights) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(input), "v"(weights));
    return sum;
  }
  static void finish(float* to, Sum sum, const Column& column, float row_scale) {
    finish_as<true>(to, sum, column, row_scale);
  }
};

constexpr PanelKernel kKernel{.weight_bytes = 1,
                              .k_group = 4,
                              .input_bytes = 1,
                              .k_multiple = 64,
                              .row_block = avx512::kVectorRows,
                              .prepare = avx512::prepare_uint8,
                              .columns = vector_columns<Int8Product>};

}  // namespace

std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights) {
  return pack_int8_panels(weights, kKernel, avx512::install_training);
}

}  // namespace fettle::vnni
