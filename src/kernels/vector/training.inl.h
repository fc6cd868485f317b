// All kernels that are templates over the vector type, put into a table.
#pragma once

#include "kernels/kernel_table.h"
#include "kernels/vector/activation.inl.h"
#include "kernels/vector/attention.inl.h"
#include "kernels/vector/attention_grad.inl.h"
#include "kernels/vector/dropout.inl.h"
#include "kernels/vector/elementwise.inl.h"
#include "kernels/vector/layer_norm.inl.h"
#include "kernels/vector/matmul.inl.h"
#include "kernels/vector/softmax.inl.h"

namespace fettle::vector {
namespace {

template <typename V>
void install(KernelTable& table) {
  table.matmul_f32 = matmul<V, false>;
  table.matmul_bf16 = matmul<V, true>;
  table.attention = attention<V>;
  table.attention_bf16 = attention<V>;
  table.attention_grad = attention_grad<V>;
  table.attention_rows = attention_rows<V>;
  table.attention_rows_bf16 = attention_rows<V>;
  table.layer_norm = layer_norm<V>;
  table.layer_norm_grad = layer_norm_grad<V>;
  table.activate = activate<V>;
  table.activate_grad = activate_grad<V>;
  table.softmax = softmax<V>;
  table.log_softmax = log_softmax<V>;
  table.add = add<V>;
  table.scale = scale<V>;
  table.add_bias = add_bias<V>;
  table.sum_rows = sum_rows<V>;
  table.dropout = dropout<V>;
  table.sum_of_squares = sum_of_squares<V>;
  table.adamw = adamw<V>;
  table.adamw_idle = adamw_idle<V>;
}

}  // namespace
}  // namespace fettle::vector
