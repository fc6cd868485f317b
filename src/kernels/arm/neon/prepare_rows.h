// Input rows prepared for products with packed panels (kernels/packed_panels.h), for NEON.
#pragma once

#include "kernels/packed_panels.h"

namespace fettle::neon {

void prepare_f32(const PrepareRows& from, std::byte* to, float* scales);   // scales are not written
void prepare_int8(const PrepareRows& from, std::byte* to, float* scales);  // quantized

}  // namespace fettle::neon
