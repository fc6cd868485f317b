#include "kernels/x86/avx2/kernels.h"
#include "kernels/x86/avx512/kernels.h"

namespace fettle::avx512 {

KernelTable table() {
  KernelTable table = avx2::table();
  table.name = "avx512";
  table.supported = [](const CpuFeatures& features) { return features.avx512; };
  return table;
}

}  // namespace fettle::avx512
