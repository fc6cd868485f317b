// Element types.
#pragma once

#include <cstdint>
#include <string_view>

namespace fettle {

enum class DType : uint8_t { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };

int64_t dtype_size(DType dtype);           // bytes per element
std::string_view dtype_name(DType dtype);  // "f32", "bf16", "i64", …
bool dtype_is_float(DType dtype);

// Round to nearest even; NaN stays NaN.
uint16_t f32_to_bf16(float value);
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
float f16_to_f32(uint16_t bits);

}  // namespace fettle
