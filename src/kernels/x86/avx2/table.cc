#include "kernels/packed_int4.h"
#include "kernels/reference/kernels.h"
#include "kernels/x86/avx2/kernels.h"

namespace fettle::avx2 {

bool supported(const CpuFeatures& features) {
  return features.avx2;
}

KernelTable table() {
  KernelTable table = reference::table();
  table.name = "avx2";
  table.supported = supported;
  install_training(table);
  table.pack_f32 = pack_f32;
  table.pack_bf16 = pack_bf16;
  table.pack_int8 = pack_int8;
  table.pack_sparse_int8 = pack_sparse_int8;
  table.sparse_below = 0.4;
  table.pack_int4 = [](const Int4Weights& w) { return unpack_as_int8(w, pack_int8); };
  table.pack_int4_bf16 = [](const Int4Weights& w) { return unpack_as_bf16(w, pack_bf16); };
  table.gather_int8 = gather_int8;
  return table;
}

}  // namespace fettle::avx2
