#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/vnni/kernels.h"

namespace fettle::amx {

bool supported(const CpuFeatures& features) {
  return features.avx512_vnni && features.avx512_bf16 && features.amx_int8 && features.amx_bf16;
}

KernelTable table() {
  KernelTable table = vnni::table();
  table.name = "amx";
  table.supported = supported;
  table.matmul_bf16 = matmul_bf16;
  table.attention_bf16 = attention_bf16;
  table.attention_takes_bf16_rows = true;
  table.attention_rows_bf16 = attention_rows_bf16;
  table.pack_bf16 = pack_bf16;
  table.pack_int8 = pack_int8;
  table.pack_sparse_int8 = pack_sparse_int8;
  table.sparse_below = 0.1;
  table.pack_int4 = pack_int4;
  table.pack_int4_bf16 = pack_int4_bf16;
  return table;
}

}  // namespace fettle::amx
