#include "kernels/platform.h"

#include <vector>

#include "kernels/arm/neon/kernels.h"
#include "kernels/arm/neon_dot/kernels.h"

namespace fettle {
namespace {

std::vector<KernelTable> make_tables() {
  const CpuFeatures& features = cpu_features();
  std::vector<KernelTable> tables;
  if (neon::supported(features)) tables.push_back(neon::table());
  if (neon_dot::supported(features)) tables.push_back(neon_dot::table());
  return tables;
}

}  // namespace

std::span<const KernelTable> platform_tables() {
  static const std::vector<KernelTable> tables = make_tables();
  return tables;
}

const PeakLoops* platform_peaks(std::string_view table_name) {
  if (table_name == "neon") return &neon::peaks();
  if (table_name == "neon_dot") return &neon_dot::peaks();
  return nullptr;
}

}  // namespace fettle
