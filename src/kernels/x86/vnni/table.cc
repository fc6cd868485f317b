#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/vnni/kernels.h"

namespace fettle::vnni {

KernelTable table() {
  KernelTable table = avx512::table();
  table.name = "vnni";
  table.supported = [](const CpuFeatures& features) { return features.avx512_vnni; };
  return table;
}

}  // namespace fettle::vnni
