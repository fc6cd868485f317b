// Choice of the kernel table.
#pragma once

#include <span>
#include <string_view>

#include "kernels/kernel_table.h"

namespace fettle {

// Every table built into this program that the machine supports, slowest ("reference") first.
std::span<const KernelTable* const> supported_tables();
// The fastest supported table.
const KernelTable& best_table();
// By name; kUsage when it is unknown or this machine does not support it (the hint lists those it does). "" is
// best_table().
const KernelTable& table_named(std::string_view name);

}  // namespace fettle
