// Kernels of gates (graph/ops/scale_groups.cc).
#pragma once

#include "runtime/node_kernel.h"

namespace fettle {

std::unique_ptr<NodeKernel> make_scale_groups(const NodeBinding&);
std::unique_ptr<NodeKernel> make_scale_groups_grad(const NodeBinding&);

}  // namespace fettle
