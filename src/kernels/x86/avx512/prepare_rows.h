// Input rows prepared for products with packed panels (kernels/packed_panels.h), for AVX-512 and what builds on it.
#pragma once

#include "kernels/packed_panels.h"

namespace fettle::avx512 {

void prepare_f32(const PrepareRows& from, std::byte* to, float* scales);  // scales are not written
// Quantized; each element as int8, as uint8 with 128 added, as int16.
void prepare_int8(const PrepareRows& from, std::byte* to, float* scales);
void prepare_int8_of_bf16(const PrepareRows& from, std::byte* to, float* scales);  // from x_bf16
void prepare_uint8(const PrepareRows& from, std::byte* to, float* scales);
void prepare_uint8_of_bf16(const PrepareRows& from, std::byte* to, float* scales);  // from x_bf16
void prepare_int16(const PrepareRows& from, std::byte* to, float* scales);

}  // namespace fettle::avx512
