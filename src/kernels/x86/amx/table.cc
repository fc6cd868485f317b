#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/vnni/kernels.h"

namespace fettle::amx {

KernelTable table() {
  KernelTable table = vnni::table();
  table.name = "amx";
  table.supported = [](const CpuFeatures& features) {
    return features.avx512_vnni && features.avx512_bf16 && features.amx_int8 && features.amx_bf16;
  };
  table.matmul_bf16 = matmul_bf16;
  return table;
}

}  // namespace fettle::amx
