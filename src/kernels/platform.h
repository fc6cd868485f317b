// The kernel tables of the processor family that this program was built for, beside the reference.
#pragma once

#include <span>
#include <string_view>

#include "kernels/kernel_table.h"
#include "kernels/roofline.h"

namespace fettle {

// Those that this machine supports, slowest first. One of {x86,arm,portable}/platform.cc is built.
std::span<const KernelTable> platform_tables();
// For measuring the peaks of one of them, by name; null for others.
const PeakLoops* platform_peaks(std::string_view table_name);

}  // namespace fettle
