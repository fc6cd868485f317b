// The functions that make the kernels of masks and gates; listed in op_kernels.cc.
#pragma once

#include "runtime/node_kernel.h"

namespace fettle {

std::unique_ptr<NodeKernel> make_mask_weight(const NodeBinding&);
std::unique_ptr<NodeKernel> make_mask_weight_grad(const NodeBinding&);
std::unique_ptr<NodeKernel> make_hard_concrete(const NodeBinding&);
std::unique_ptr<NodeKernel> make_hard_concrete_grad(const NodeBinding&);
std::unique_ptr<NodeKernel> make_sigmoid_penalty(const NodeBinding&);
std::unique_ptr<NodeKernel> make_sigmoid_penalty_grad(const NodeBinding&);

}  // namespace fettle
