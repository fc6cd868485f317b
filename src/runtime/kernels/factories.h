// The functions that make the kernels of ops; listed in op_kernels.cc.
#pragma once

#include "runtime/node_kernel.h"

namespace fettle {

std::unique_ptr<NodeKernel> make_linear(const NodeBinding&);
std::unique_ptr<NodeKernel> make_linear_qkv(const NodeBinding&);
std::unique_ptr<NodeKernel> make_matmul(const NodeBinding&);
std::unique_ptr<NodeKernel> make_sum_rows(const NodeBinding&);
std::unique_ptr<NodeKernel> make_add(const NodeBinding&);
std::unique_ptr<NodeKernel> make_scale(const NodeBinding&);
std::unique_ptr<NodeKernel> make_activate(const NodeBinding&);
std::unique_ptr<NodeKernel> make_activate_grad(const NodeBinding&);
std::unique_ptr<NodeKernel> make_dropout(const NodeBinding&);
std::unique_ptr<NodeKernel> make_gather_rows(const NodeBinding&);
std::unique_ptr<NodeKernel> make_embed_layer_norm(const NodeBinding&);
std::unique_ptr<NodeKernel> make_scatter_rows(const NodeBinding&);
std::unique_ptr<NodeKernel> make_sum_equal_rows(const NodeBinding&);
std::unique_ptr<NodeKernel> make_layer_norm(const NodeBinding&);
std::unique_ptr<NodeKernel> make_layer_norm_grad(const NodeBinding&);
std::unique_ptr<NodeKernel> make_attention(const NodeBinding&);
std::unique_ptr<NodeKernel> make_attention_packed(const NodeBinding&);
std::unique_ptr<NodeKernel> make_attention_rows(const NodeBinding&);
std::unique_ptr<NodeKernel> make_attention_grad(const NodeBinding&);
std::unique_ptr<NodeKernel> make_softmax(const NodeBinding&);
std::unique_ptr<NodeKernel> make_log_softmax(const NodeBinding&);
std::unique_ptr<NodeKernel> make_softmax_cross_entropy(const NodeBinding&);
std::unique_ptr<NodeKernel> make_softmax_cross_entropy_grad(const NodeBinding&);
std::unique_ptr<NodeKernel> make_mean_squared_error(const NodeBinding&);
std::unique_ptr<NodeKernel> make_mean_squared_error_grad(const NodeBinding&);
std::unique_ptr<NodeKernel> make_distillation_loss(const NodeBinding&);
std::unique_ptr<NodeKernel> make_distillation_loss_grad(const NodeBinding&);
std::unique_ptr<NodeKernel> make_cosine_loss(const NodeBinding&);
std::unique_ptr<NodeKernel> make_cosine_loss_grad(const NodeBinding&);
std::unique_ptr<NodeKernel> make_relation_loss(const NodeBinding&);
std::unique_ptr<NodeKernel> make_relation_loss_grad(const NodeBinding&);

}  // namespace fettle
