#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/vnni/kernels.h"

namespace fettle::vnni {

bool supported(const CpuFeatures& features) {
  return features.avx512_vnni;
}

KernelTable table() {
  KernelTable table = avx512::table();
  table.name = "vnni";
  table.supported = supported;
  table.pack_int8 = pack_int8;
  table.pack_sparse_int8 = pack_sparse_int8;
  table.sparse_below = 0.35;
  table.pack_int4 = pack_int4;
  return table;
}

}  // namespace fettle::vnni
