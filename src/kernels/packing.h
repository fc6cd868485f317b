// How a kernel table packs, as one number: images (PackedLinear::image) of equal numbers have the same layout.
#pragma once

#include <cstdint>

#include "kernels/kernel_table.h"

namespace fettle {

// Found by packing small weights with every packing function and looking at the bytes, so that a layout cannot change
// without it: nobody has to remember to raise a version. The sizes are such that panels, groups, blocks of inputs and
// padding all occur. About 0.2 ms. Images of equal numbers are exchangeable between processes and machines.
uint64_t packing_fingerprint(const KernelTable& table);

}  // namespace fettle
