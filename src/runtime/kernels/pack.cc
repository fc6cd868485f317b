#include "runtime/kernels/pack.h"

#include <string>

#include "runtime/packed_store.h"
#include "tensor/int4_group.h"

namespace fettle {
namespace {

std::unique_ptr<PackedLinear> pack_int4(const EncodedTensor& weight, const float* bias, const KernelTable& table) {
  const Tensor values = int4_halves(weight);
  const Tensor scales = weight.scales.to(DType::kF32);
  const Int4Weights weights{.out_features = weight.shape[0],
                            .in_features = weight.shape[1],
                            .group_size = weight.encoding.group_size,
                            .values = values.data<uint8_t>(),
                            .scales = scales.data<float>(),
                            .bias = bias};
  return weight.encoding.input_bits == 8 ? table.pack_int4(weights) : table.pack_int4_bf16(weights);
}

}  // namespace

bool multiplies_in_bf16(const EncodedTensor& weight, const ExecutorOptions& options) {
  if (weight.encoding.kind != EncodingKind::kDense) return false;
  return options.precision == Precision::kBF16 || weight.data.dtype() == DType::kBF16;
}

std::unique_ptr<PackedLinear> pack_weights(const EncodedTensor& weight, const Tensor& bias,
                                           const ExecutorOptions& options) {
  LinearWeights weights;
  weights.out_features = weight.shape[0];
  weights.in_features = weight.shape[1];
  weights.bias = bias.defined() ? bias.data<float>() : nullptr;
  if (weight.encoding.kind == EncodingKind::kIntGroup) return pack_int4(weight, weights.bias, *options.table);
  if (weight.encoding.kind == EncodingKind::kIntChannel) {
    weights.weight = weight.data.raw();
    weights.scales = weight.scales.data<float>();
    return options.table->pack_int8(weights);
  }
  const bool as_bf16 = multiplies_in_bf16(weight, options);
  const Tensor values = weight.data.to(as_bf16 ? DType::kBF16 : DType::kF32);
  weights.weight = values.raw();
  return as_bf16 ? options.table->pack_bf16(weights) : options.table->pack_f32(weights);
}

std::shared_ptr<const PackedLinear> shared_weights(const NodeBinding& binding, size_t begin, size_t end,
                                                   FunctionRef<std::unique_ptr<PackedLinear>()> pack) {
  PackedStore* store = binding.options.packed;
  std::string key;
  for (size_t i = begin; i < end; ++i) {
    if (!binding.has(i)) continue;
    const Value& value = binding.graph.value(binding.node.inputs[i]);
    // Constants of a graph have no names to tell them apart by.
    if (value.kind != ValueKind::kParameter) store = nullptr;
    key += value.name + '\n';
  }
  return store == nullptr ? pack() : store->get(key, pack);
}

bool has_coarse_weights(const NodeBinding& binding, ValueId value) {
  const NodeId producer = binding.graph.value(value).producer;
  if (producer < 0) return false;
  const Node& linear = binding.graph.nodes()[static_cast<size_t>(producer)];
  if (!linear.op->name().starts_with("linear") || !binding.parameters.is_constant(linear.inputs[1])) return false;
  const EncodedTensor& weight = binding.parameters.stored(linear.inputs[1]);
  return weight.encoding.kind != EncodingKind::kDense || multiplies_in_bf16(weight, binding.options);
}

}  // namespace fettle
