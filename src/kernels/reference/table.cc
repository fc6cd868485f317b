#include "kernels/packed_int4.h"
#include "kernels/reference/kernels.h"

namespace fettle::reference {

KernelTable table() {
  KernelTable table;
  table.name = "reference";
  table.supported = [](const CpuFeatures&) { return true; };
  table.matmul_f32 = matmul_f32;
  table.matmul_bf16 = matmul_bf16;
  table.pack_f32 = pack_f32;
  table.pack_bf16 = pack_bf16;
  table.pack_int8 = pack_int8;
  table.pack_sparse_int8 = pack_int8;
  table.pack_int4 = [](const Int4Weights& w) { return unpack_as_int8(w, pack_int8); };
  table.pack_int4_bf16 = [](const Int4Weights& w) { return unpack_as_bf16(w, pack_bf16); };
  table.attention = attention;
  table.attention_bf16 = attention;
  table.attention_takes_bf16_rows = false;
  table.attention_grad = attention_grad;
  table.attention_rows = attention_rows;
  table.attention_rows_bf16 = attention_rows;
  table.layer_norm = layer_norm;
  table.layer_norm_grad = layer_norm_grad;
  table.activate = activate;
  table.activate_grad = activate_grad;
  table.softmax = softmax;
  table.log_softmax = log_softmax;
  table.add = add;
  table.scale = scale;
  table.add_bias = add_bias;
  table.sum_rows = sum_rows;
  table.dropout = dropout;
  table.sum_of_squares = sum_of_squares;
  table.adamw = adamw;
  table.adamw_idle = adamw_idle;
  table.gather = gather;
  table.gather_int8 = gather_int8;
  return table;
}

}  // namespace fettle::reference
