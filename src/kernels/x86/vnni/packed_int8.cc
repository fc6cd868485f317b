#include "kernels/packed_int4.h"
#include "kernels/vector/packed_vectors.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/avx512/prepare_rows.h"
#include "kernels/x86/avx512/unpack_int4.h"
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

void int4_columns(const PanelJob& job, int64_t group_begin, int64_t group_end) {
  for (int64_t g = group_begin; g < group_end; ++g) {
    const avx512::Int4Group<avx512::UnpackInt8> group(job, g, group_end);
    vector_columns<Int8Product>(group.job(), 0, 1);
  }
}

constexpr PanelKernel kInt4Kernel = [] {
  PanelKernel kernel = kKernel;
  kernel.columns = int4_columns;
  return kernel;
}();

}  // namespace

std::unique_ptr<PackedLinear> pack_int4(const Int4Weights& weights) {
  if (weights.group_size % kInt4Shared != 0) return unpack_as_int8(weights, pack_int8);
  return pack_int4_panels(weights, kInt4Kernel, avx512::install_training);
}
std::unique_ptr<PackedLinear> pack_int8(const LinearWeights& weights) {
  return pack_int8_panels(weights, kKernel, avx512::install_training);
}

}  // namespace fettle::vnni
