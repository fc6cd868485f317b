#include "kernels/platform.h"

#include <vector>

#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/avx2/kernels.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/vnni/kernels.h"

namespace fettle {
namespace {

std::vector<KernelTable> make_tables() {
  const CpuFeatures& features = cpu_features();
  std::vector<KernelTable> tables;
  if (avx2::supported(features)) tables.push_back(avx2::table());
  if (avx512::supported(features)) tables.push_back(avx512::table());
  if (vnni::supported(features)) tables.push_back(vnni::table());
  if (amx::supported(features)) tables.push_back(amx::table());
  return tables;
}

}  // namespace

std::span<const KernelTable> platform_tables() {
  static const std::vector<KernelTable> tables = make_tables();
  return tables;
}

const PeakLoops* platform_peaks(std::string_view table_name) {
  if (table_name == "avx2") return &avx2::peaks();
  if (table_name == "avx512") return &avx512::peaks();
  if (table_name == "vnni") return &vnni::peaks();
  if (table_name == "amx") return &amx::peaks();
  return nullptr;
}

}  // namespace fettle
