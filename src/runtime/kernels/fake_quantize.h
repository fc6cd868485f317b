// The functions that make the kernels of fake quantization; listed in op_kernels.cc.
#pragma once

#include "runtime/node_kernel.h"

namespace fettle {

std::unique_ptr<NodeKernel> make_fake_quantize(const NodeBinding&);
std::unique_ptr<NodeKernel> make_fake_quantize_grad(const NodeBinding&);
std::unique_ptr<NodeKernel> make_fake_quantize_rows(const NodeBinding&);

}  // namespace fettle
