#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/cpu.h"
#include "base/philox.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fettle {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct FloatFormat {
  const char* name;
  int mantissa_bits;
  int min_exponent;  // of the smallest normal number
  uint16_t (*encode)(float);
  float (*decode)(uint16_t);
};
constexpr FloatFormat kF16 = {"f16", 10, -14, f32_to_f16, f16_to_f32};
constexpr FloatFormat kBf16 = {"bf16", 7, -126, f32_to_bf16, bf16_to_f32};

bool is_nan_pattern(uint16_t bits, const FloatFormat& format) {
  const uint32_t infinity = 0x7fffu >> format.mantissa_bits << format.mantissa_bits;
  return (bits & 0x7fffu) > infinity;
}

// The value of a pattern, from the definition of IEEE 754.
double value_of(uint16_t bits, const FloatFormat& format) {
  const int mantissa = bits & ((1 << format.mantissa_bits) - 1);
  const int exponent = (bits & 0x7fff) >> format.mantissa_bits;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 0x7fff >> format.mantissa_bits) return sign * kInfinity;
  const int scale = format.min_exponent - format.mantissa_bits + std::max(exponent - 1, 0);
  return sign * std::ldexp(exponent == 0 ? mantissa : mantissa + (1 << format.mantissa_bits), scale);
}

class HalfFormats : public ::testing::TestWithParam<FloatFormat> {};
INSTANTIATE_TEST_SUITE_P(Formats, HalfFormats, ::testing::Values(kF16, kBf16),
                         [](const auto& info) { return info.param.name; });

TEST_P(HalfFormats, EveryPatternHasItsValueAndComesBack) {
  for (uint32_t pattern = 0; pattern < 0x10000; ++pattern) {
    const auto bits = static_cast<uint16_t>(pattern);
    const float value = GetParam().decode(bits);
    if (is_nan_pattern(bits, GetParam())) {
      ASSERT_TRUE(std::isnan(value)) << pattern;
    } else {
      ASSERT_EQ(value, value_of(bits, GetParam())) << pattern;
      ASSERT_EQ(std::signbit(value), pattern >= 0x8000) << pattern;
    }
    ASSERT_EQ(GetParam().encode(value), bits) << pattern;
  }
}

// Between two neighbours: below the middle goes down, above goes up, the middle goes to the even one.
TEST_P(HalfFormats, RoundsToNearestEven) {
  const uint32_t largest = (0x7fffu >> GetParam().mantissa_bits << GetParam().mantissa_bits) - 1;
  for (uint32_t pattern = 0; pattern < largest; ++pattern) {
    const double low = value_of(static_cast<uint16_t>(pattern), GetParam());
    const double high = value_of(static_cast<uint16_t>(pattern + 1), GetParam());
    const auto middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(middle, (low + high) / 2) << "the middle is exact in f32";
    const uint32_t even = pattern + (pattern & 1);
    ASSERT_EQ(GetParam().encode(middle), even) << pattern;
    ASSERT_EQ(GetParam().encode(-middle), 0x8000 | even) << pattern;
    ASSERT_EQ(GetParam().encode(std::nextafterf(middle, 0)), pattern) << pattern;
    ASSERT_EQ(GetParam().encode(std::nextafterf(middle, kInfinity)), pattern + 1) << pattern;
  }
}

TEST_P(HalfFormats, NanStaysNan) {
  for (const uint32_t bits : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0x7fc00000u, 0x7f801fffu, 0x7f80ffffu}) {
    const uint16_t encoded = GetParam().encode(std::bit_cast<float>(bits));
    EXPECT_TRUE(is_nan_pattern(encoded, GetParam())) << std::hex << bits;
    EXPECT_EQ(encoded >> 15, bits >> 31);
  }
}

TEST(Half, Limits) {
  EXPECT_EQ(f32_to_f16(65504.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xfc00);
  EXPECT_EQ(f32_to_f16(kInfinity), 0x7c00);
  EXPECT_EQ(f32_to_f16(0x1p-24f), 0x0001);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000);
  EXPECT_EQ(f32_to_f16(1e-45f), 0x0000);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(f32_to_bf16(-kInfinity), 0xff80);
  EXPECT_EQ(f32_to_bf16(1.0f), 0x3f80);
}

#if defined(__x86_64__)

__attribute__((target("f16c"))) uint16_t hardware_f16(float value) {
  return static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
}

TEST(Half, AgreesWithTheProcessor) {
  if (!cpu_features().avx2) GTEST_SKIP() << "no F16C here";
  Philox random(17);
  for (int i = 0; i < 2000000; ++i) {
    const auto value = std::bit_cast<float>(random.next_u32());
    if (std::isnan(value)) continue;
    ASSERT_EQ(f32_to_f16(value), hardware_f16(value)) << value;
  }
}

#endif

TEST(DType, NamesAndSizes) {
  const std::vector<DType> all = {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64,
                                  DType::kI32, DType::kI16, DType::kI8,  DType::kU8,   DType::kBool};
  std::string text;
  for (const DType dtype : all) {
    text +=
        std::string(dtype_name(dtype)) + ":" + std::to_string(dtype_size(dtype)) + (dtype_is_float(dtype) ? "f " : " ");
  }
  EXPECT_EQ(text, "f64:8f f32:4f f16:2f bf16:2f i64:8 i32:4 i16:2 i8:1 u8:1 bool:1 ");
}

}  // namespace
}  // namespace fettle
