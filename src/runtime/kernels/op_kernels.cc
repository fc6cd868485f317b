#include "runtime/kernels/factories.h"
#include "runtime/kernels/fake_quantize.h"
#include "runtime/kernels/gates.h"
#include "runtime/kernels/masks.h"

namespace fettle {
namespace {

constexpr uint32_t kFirst = 1;
constexpr uint32_t kSecond = 2;

// What is not listed runs by its reference: losses that are small and rare.
constexpr OpKernel kKernels[] = {
    {"linear", make_linear},
    {"linear_qkv", make_linear_qkv},
    {"matmul", make_matmul},
    {"sum_rows", make_sum_rows},
    {"add", make_add, kFirst | kSecond},
    {"scale", make_scale, kFirst},
    {"activate", make_activate, kFirst},
    {"activate_grad", make_activate_grad, kSecond},
    {"dropout", make_dropout, kFirst},
    {"scale_groups", make_scale_groups, kFirst},
    {"scale_groups_grad", make_scale_groups_grad},
    {"gather_rows", make_gather_rows},
    {"embed_layer_norm", make_embed_layer_norm},
    {"scatter_rows", make_scatter_rows},
    {"sum_equal_rows", make_sum_equal_rows},
    {"layer_norm", make_layer_norm, kFirst},
    {"layer_norm_grad", make_layer_norm_grad},
    {"attention", make_attention},
    {"attention_packed", make_attention_packed},
    {"attention_rows", make_attention_rows},
    {"attention_grad", make_attention_grad},
    {"softmax", make_softmax, kFirst},
    {"log_softmax", make_log_softmax, kFirst},
    {"softmax_cross_entropy", make_softmax_cross_entropy},
    {"softmax_cross_entropy_grad", make_softmax_cross_entropy_grad},
    {"mean_squared_error", make_mean_squared_error},
    {"mean_squared_error_grad", make_mean_squared_error_grad},
    {"distillation_loss", make_distillation_loss},
    {"distillation_loss_grad", make_distillation_loss_grad},
    {"cosine_loss", make_cosine_loss},
    {"cosine_loss_grad", make_cosine_loss_grad},
    {"relation_loss", make_relation_loss},
    {"relation_loss_grad", make_relation_loss_grad},
    {"mask_weight", make_mask_weight, kFirst},
    {"mask_weight_grad", make_mask_weight_grad},
    {"hard_concrete", make_hard_concrete, kFirst},
    {"hard_concrete_grad", make_hard_concrete_grad},
    {"sigmoid_penalty", make_sigmoid_penalty},
    {"sigmoid_penalty_grad", make_sigmoid_penalty_grad},
    {"fake_quantize", make_fake_quantize, kFirst},
    {"fake_quantize_grad", make_fake_quantize_grad},
    {"fake_quantize_rows", make_fake_quantize_rows, kFirst},
};

}  // namespace

const OpKernel* find_op_kernel(std::string_view op) {
  for (const OpKernel& kernel : kKernels) {
    if (kernel.op == op) return &kernel;
  }
  return nullptr;
}

}  // namespace fettle
