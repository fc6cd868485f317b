// Packs stored weights for the kernel table, by their encoding.
#pragma once

#include <memory>

#include "runtime/node_kernel.h"

namespace fettle {

// weight [out, in] and bias [out] (undefined when there is none) as stored.
std::unique_ptr<PackedLinear> pack_weights(const EncodedTensor& weight, const Tensor& bias,
                                           const ExecutorOptions& options);

// Whether the linear that makes `value` computes with less than f32: what works on its result may round as much.
bool has_coarse_weights(const NodeBinding& binding, ValueId value);

}  // namespace fettle
