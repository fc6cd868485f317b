#include "kernels/arm/neon/kernels.h"
#include "kernels/packed_int4.h"
#include "kernels/reference/kernels.h"

namespace fettle::neon {

bool supported(const CpuFeatures& features) {
  return features.neon;
}

KernelTable table() {
  KernelTable table = reference::table();
  table.name = "neon";
  table.supported = supported;
  install_training(table);
  table.pack_f32 = pack_f32;
  table.pack_bf16 = pack_bf16;
  table.pack_int8 = pack_int8;
  table.pack_sparse_int8 = pack_int8;
  table.pack_int4 = [](const Int4Weights& w) { return unpack_as_int8(w, pack_int8); };
  table.pack_int4_bf16 = [](const Int4Weights& w) { return unpack_as_bf16(w, pack_bf16); };
  table.gather_int8 = gather_int8;
  return table;
}

}  // namespace fettle::neon
