// Input rows prepared for products with packed panels (kernels/packed_panels.h), for AVX2.
#pragma once

#include "kernels/packed_panels.h"

namespace fettle::avx2 {

void prepare_f32(const PrepareRows& from, std::byte* to, float* scales);    // scales are not written
void prepare_int16(const PrepareRows& from, std::byte* to, float* scales);  // quantized, each element as int16

}  // namespace fettle::avx2
