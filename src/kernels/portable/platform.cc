#include "kernels/platform.h"

namespace fettle {

// Processors that have no folder of their own run the reference.
std::span<const KernelTable> platform_tables() {
  return {};
}

const PeakLoops* platform_peaks(std::string_view) {
  return nullptr;
}

}  // namespace fettle
