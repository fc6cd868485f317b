#include "runtime/kernels/pack.h"

namespace fettle {

std::unique_ptr<PackedLinear> pack_weights(const EncodedTensor& weight, const Tensor& bias,
                                           const ExecutorOptions& options) {
  LinearWeights weights;
  weights.out_features = weight.shape[0];
  weights.in_features = weight.shape[1];
  weights.bias = bias.defined() ? bias.data<float>() : nullptr;
  if (weight.encoding.kind == EncodingKind::kIntChannel) {
    weights.weight = weight.data.raw();
    weights.scales = weight.scales.data<float>();
    return options.table->pack_int8(weights);
  }
  const bool as_bf16 = options.precision == Precision::kBF16;
  const Tensor values = weight.data.to(as_bf16 ? DType::kBF16 : DType::kF32);
  weights.weight = values.raw();
  return as_bf16 ? options.table->pack_bf16(weights) : options.table->pack_f32(weights);
}

}  // namespace fettle
