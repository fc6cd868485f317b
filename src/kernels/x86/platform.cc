#include "kernels/platform.h"

#include <array>

#include "kernels/x86/amx/kernels.h"
#include "kernels/x86/avx2/kernels.h"
#include "kernels/x86/avx512/kernels.h"
#include "kernels/x86/vnni/kernels.h"

namespace fettle {

std::span<const KernelTable> platform_tables() {
  static const std::array<KernelTable, 4> tables = {avx2::table(), avx512::table(), vnni::table(), amx::table()};
  return tables;
}

}  // namespace fettle
