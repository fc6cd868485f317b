#include "tensor/encoding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/philox.h"

namespace fettle {
namespace {

TEST(Encoding, Names) {
  EXPECT_EQ(encoding_name(Encoding{}), "f32");
  EXPECT_EQ(encoding_name(Encoding::dense(DType::kBF16)), "bf16");
  EXPECT_EQ(encoding_name(Encoding::int8_channel()), "int8-channel");
  EXPECT_EQ(Encoding::dense(DType::kF16).bits, 16);
  EXPECT_EQ(Encoding::dense(DType::kF32), Encoding{});
  EXPECT_NE(Encoding::dense(DType::kF32), Encoding::int8_channel());
}

TEST(Encoding, Int8ByHand) {
  // Scales 2 and 0.5: quotients on the half go to the even integer.
  const Tensor values = Tensor::from({254, -254, 5, -3, 1, 7, 0, 63.5f, -0.25f, 0.25f, 0.75f, -63.5f}, {2, 6});
  const EncodedTensor encoded = encode(values, Encoding::int8_channel());
  EXPECT_EQ(encoded.shape, values.shape());
  EXPECT_EQ(encoded.scales.shape(), Shape{2});
  EXPECT_EQ(encoded.scales.floats()[0], 2.0f);
  EXPECT_EQ(encoded.scales.floats()[1], 0.5f);
  const int8_t expected[12] = {127, -127, 2, -2, 0, 4, 0, 127, 0, 0, 2, -127};
  for (int i = 0; i < 12; ++i) EXPECT_EQ(encoded.data.data<int8_t>()[i], expected[i]) << i;
  EXPECT_EQ(encoded.size_bytes(), 12 + 8);
  EXPECT_EQ(encoded.decode().floats()[2], 4.0f);
  EXPECT_EQ(encoded.decode().floats()[11], -63.5f);
}

TEST(Encoding, Int8ErrorIsAtMostHalfAStep) {
  Philox random(2);
  Tensor values(DType::kF32, {30, 77});
  for (int64_t i = 0; i < values.size(); ++i) {
    values.mutable_data<float>()[i] = random.normal() * std::ldexp(1.0f, static_cast<int>(i / 77) - 15);
  }
  const EncodedTensor encoded = encode(values, Encoding::int8_channel());
  const Tensor decoded = encoded.decode();
  for (int64_t r = 0; r < 30; ++r) {
    float largest = 0;
    for (int64_t c = 0; c < 77; ++c) {
      const size_t i = static_cast<size_t>(r * 77 + c);
      largest = std::max(largest, std::fabs(values.floats()[i]));
      const float step = encoded.scales.floats()[static_cast<size_t>(r)];
      ASSERT_LE(std::fabs(values.floats()[i] - decoded.floats()[i]), step * 0.50001f);
    }
    EXPECT_EQ(encoded.scales.floats()[static_cast<size_t>(r)], largest / 127.0f);
  }
}

TEST(Encoding, RowsOfZerosAndTinyRows) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const Tensor values = Tensor::from({0, -0.0f, tiny, -tiny, 140 * tiny, -140 * tiny}, {3, 2});
  const EncodedTensor encoded = encode(values, Encoding::int8_channel());
  EXPECT_EQ(encoded.scales.floats()[0], 1.0f);
  EXPECT_EQ(encoded.scales.floats()[1], 1.0f);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(encoded.data.data<int8_t>()[i], 0);
  EXPECT_EQ(encoded.data.data<int8_t>()[4], 127);
  EXPECT_EQ(encoded.data.data<int8_t>()[5], -127);
}

TEST(Encoding, LargestFloatsWork) {
  const float max = std::numeric_limits<float>::max();
  const EncodedTensor encoded = encode(Tensor::from({max, -max}, {1, 2}), Encoding::int8_channel());
  EXPECT_EQ(encoded.data.data<int8_t>()[0], 127);
  EXPECT_TRUE(std::isfinite(encoded.decode().floats()[1]));
}

TEST(Encoding, NotANumberAndInfinityAreNamed) {
  const auto message = [](float bad) {
    try {
      encode(Tensor::from({1, 2, 3, bad}, {2, 2}), Encoding::int8_channel());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadInput);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message(NAN), "weights: the value at row 1, column 1 is not a number");
  EXPECT_EQ(message(-INFINITY), "weights: the value at row 1, column 1 is infinite");
}

TEST(Encoding, Dense) {
  const Tensor values = Tensor::from({1, 2.5f, -3, 1e-3f}, {4});
  const EncodedTensor plain = encode(values, Encoding::dense(DType::kF32));
  EXPECT_EQ(plain.decode().raw(), values.raw()) << "shared";
  EXPECT_FALSE(plain.scales.defined());
  const EncodedTensor half = encode(values, Encoding::dense(DType::kBF16));
  EXPECT_EQ(half.size_bytes(), 8);
  EXPECT_EQ(half.decode().floats()[1], 2.5f);
  EXPECT_EQ(half.encoding, Encoding::dense(DType::kBF16));
}

TEST(Encoding, EncodesFromHalfPrecisionAndEmptyMatrices) {
  const Tensor half = Tensor::from({127, 1, -2, 3}, {2, 2}).to(DType::kBF16);
  EXPECT_EQ(encode(half, Encoding::int8_channel()).data.data<int8_t>()[0], 127);
  EXPECT_EQ(encode(Tensor(DType::kF32, {0, 5}), Encoding::int8_channel()).decode().size(), 0);
  EXPECT_EQ(encode(Tensor(DType::kF32, {5, 0}), Encoding::int8_channel()).scales.floats()[4], 1.0f);
}

TEST(Encoding, WrongRankAndUnknownEncodingsAreRefused) {
  EXPECT_THROW(encode(Tensor(DType::kF32, {4}), Encoding::int8_channel()), Error);
  Encoding odd = Encoding::int8_channel();
  odd.bits = 5;
  EXPECT_THROW(encode(Tensor(DType::kF32, {2, 2}), odd), Error);
}

}  // namespace
}  // namespace fettle
