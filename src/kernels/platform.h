// The kernel tables of the processor family that this program was built for, beside the reference.
#pragma once

#include <span>

#include "kernels/kernel_table.h"

namespace fettle {

// Those that this machine supports, slowest first. One of x86/platform.cc and arm/platform.cc is built.
std::span<const KernelTable> platform_tables();

}  // namespace fettle
