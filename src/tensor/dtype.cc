#include "tensor/dtype.h"

#include <bit>

namespace fettle {
namespace {

struct DTypeTraits {
  std::string_view name;
  int64_t size_bytes;
  bool is_float;
};

// In the order of DType.
constexpr DTypeTraits kTraits[] = {
    {"f64", 8, true},  {"f32", 4, true},  {"f16", 2, true}, {"bf16", 2, true}, {"i64", 8, false},
    {"i32", 4, false}, {"i16", 2, false}, {"i8", 1, false}, {"u8", 1, false},  {"bool", 1, false},
};

const DTypeTraits& traits(DType dtype) {
  return kTraits[static_cast<size_t>(dtype)];
}

// Round to nearest even while dropping the lowest `n` bits.
uint32_t shift_round(uint32_t value, int n) {
  const uint32_t odd = value >> n & 1;
  return (value + (uint32_t{1} << (n - 1)) - 1 + odd) >> n;
}

}  // namespace

int64_t dtype_size(DType dtype) {
  return traits(dtype).size_bytes;
}
std::string_view dtype_name(DType dtype) {
  return traits(dtype).name;
}
bool dtype_is_float(DType dtype) {
  return traits(dtype).is_float;
}

uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
  if (!is_nan) return static_cast<uint16_t>(shift_round(bits, 16));
  // A payload that lives in the dropped bits alone must not become infinity.
  const uint32_t upper = bits >> 16;
  return static_cast<uint16_t>((upper & 0x7f) != 0 ? upper : upper | 0x40);
}

float bf16_to_f32(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) {
    const uint32_t payload = magnitude >> 13 & 0x3ff;
    return static_cast<uint16_t>(sign | 0x7c00 | (payload != 0 ? payload : 0x200));
  }
  constexpr uint32_t kOverflow = 0x477ff000;        // 65520, half way between the largest f16 and 2^16
  constexpr uint32_t kSmallestNormal = 0x38800000;  // 2^-14
  constexpr uint32_t kUnderflow = 0x33000000;       // 2^-25, half of the smallest denormal
  if (magnitude >= kOverflow) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude >= kSmallestNormal)
    return static_cast<uint16_t>(sign | shift_round(magnitude - (uint32_t{112} << 23), 13));
  if (magnitude <= kUnderflow) return static_cast<uint16_t>(sign);
  const int exponent = static_cast<int>(magnitude >> 23);
  const uint32_t mantissa = (magnitude & 0x7fffff) | 0x800000;
  return static_cast<uint16_t>(sign | shift_round(mantissa, 126 - exponent));
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t magnitude = bits & 0x7fff;
  if (magnitude >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  if (magnitude >= 0x0400) return std::bit_cast<float>(sign | ((magnitude << 13) + (uint32_t{112} << 23)));
  // Denormals: an exact product of a small integer and 2^-24.
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f));
}

}  // namespace fettle
