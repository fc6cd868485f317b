#include "kernels/reference/kernels.h"
#include "kernels/x86/avx2/kernels.h"

namespace fettle::avx2 {

KernelTable table() {
  KernelTable table = reference::table();
  table.name = "avx2";
  table.supported = [](const CpuFeatures& features) { return features.avx2; };
  return table;
}

}  // namespace fettle::avx2
