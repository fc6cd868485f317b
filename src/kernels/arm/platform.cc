#include "kernels/platform.h"

namespace fettle {

// A NEON table is not written yet: processors other than x86 run the reference.
std::span<const KernelTable> platform_tables() {
  return {};
}

const PeakLoops* platform_peaks(std::string_view) {
  return nullptr;
}

}  // namespace fettle
