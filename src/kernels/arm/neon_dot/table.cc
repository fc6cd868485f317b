#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/neon_dot/kernels.h"
#include "kernels/packed_int4.h"

namespace fettle::neon_dot {

bool supported(const CpuFeatures& features) {
  return features.neon_dot;
}

KernelTable table() {
  KernelTable table = neon::table();
  table.name = "neon_dot";
  table.supported = supported;
  table.pack_int8 = pack_int8;
  table.pack_sparse_int8 = pack_int8;
  table.pack_int4 = [](const Int4Weights& w) { return unpack_as_int8(w, pack_int8); };
  return table;
}

}  // namespace fettle::neon_dot
