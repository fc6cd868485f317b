#include "tensor/encoding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"
#include "base/philox.h"
#include "tensor/int_group.h"

namespace fettle {
namespace {

TEST(Encoding, Names) {
  EXPECT_EQ(encoding_name(Encoding{}), "f32");
  EXPECT_EQ(encoding_name(Encoding::dense(DType::kBF16)), "bf16");
  EXPECT_EQ(encoding_name(Encoding::int8_channel()), "int8-channel");
  EXPECT_EQ(encoding_name(Encoding::int4_group(128, 8)), "int4-group128");
  EXPECT_NE(Encoding::int4_group(32, 8), Encoding::int4_group(32, 16));
  EXPECT_NE(Encoding::int4_group(32, 8), Encoding::int4_group(64, 8));
  EXPECT_EQ(Encoding::int8_channel().input_bits, 8);
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

// What an int4-group tensor says, read bit by bit.
struct Int4 {
  explicit Int4(const EncodedTensor& tensor) : encoded(tensor), scales(tensor.scales.to(DType::kF32)) {}
  int q(int64_t r, int64_t c) const {
    const uint32_t word = encoded.data.data<uint32_t>()[r * encoded.data.dim(1) + c / 8];
    return static_cast<int>(word >> (4 * (c % 8)) & 15u) - 8;
  }
  float scale(int64_t r, int64_t c) const {
    return scales.data<float>()[r * scales.dim(1) + c / encoded.encoding.group_size];
  }
  const EncodedTensor& encoded;
  Tensor scales;
};

Tensor random_matrix(int64_t n_rows, int64_t n_cols, uint64_t seed) {
  Philox random(seed);
  Tensor values(DType::kF32, {n_rows, n_cols});
  for (int64_t i = 0; i < values.size(); ++i) {
    values.mutable_data<float>()[i] = random.normal() * std::ldexp(1.0f, static_cast<int>(i / n_cols) - 12);
  }
  return values;
}

TEST(Encoding, Int4ByHand) {
  // Groups of eight; the scales that fit: 1 (whole numbers up to 7), 0.25 (from -8 · 0.25), 2 (a row's last two).
  const Tensor values = Tensor::from({7, -7, 3, 0, -1, 2.5f, 3.5f, -6,       //
                                      -2, 1.75f, 0.25f, -0.25f, 1, 0, 0, 0,  //
                                      14, -2},
                                     {1, 18});
  const EncodedTensor encoded = encode(values, Encoding::int4_group(8, 8));
  EXPECT_EQ(encoding_name(encoded.encoding), "int4-group8");
  EXPECT_EQ(encoded.data.dtype(), DType::kI32);
  EXPECT_EQ(encoded.data.shape(), (Shape{1, 3}));
  EXPECT_EQ(encoded.scales.shape(), (Shape{1, 3}));
  EXPECT_EQ(encoded.size_bytes(), 3 * 4 + 3 * 2);
  const Int4 int4(encoded);
  EXPECT_EQ(int4.scale(0, 0), 1.0f);
  EXPECT_EQ(int4.scale(0, 8), 0.25f);
  EXPECT_EQ(int4.scale(0, 16), 2.0f);
  const int expected[18] = {7, -7, 3, 0, -1, 2, 4, -6, -8, 7, 1, -1, 4, 0, 0, 0, 7, -1};
  for (int c = 0; c < 18; ++c) EXPECT_EQ(int4.q(0, c), expected[c]) << c;
  EXPECT_EQ(encoded.data.data<uint32_t>()[1], 0x888c79f0u);
  EXPECT_EQ(encoded.data.data<uint32_t>()[2], 0x0000007fu) << "filled up with zeros";
  EXPECT_EQ(encoded.decode().floats()[6], 4.0f);
  EXPECT_EQ(encoded.decode().floats()[8], -2.0f);

  const Tensor halves = int4_halves(encoded);
  EXPECT_EQ(halves.dtype(), DType::kU8);
  EXPECT_EQ(halves.shape(), (Shape{1, 9}));
  EXPECT_EQ(halves.data<uint8_t>()[0], 0x97);  // 7, then -7
  EXPECT_EQ(halves.data<uint8_t>()[8], 0xf7);
}

TEST(Encoding, Int4ChoosesTheBestOfItsScales) {
  for (const int group : {8, 32, 64}) {
    for (const int64_t n_cols : {64, 77, 129, 5}) {
      const Tensor values = random_matrix(20, n_cols, static_cast<uint64_t>(n_cols + group));
      const EncodedTensor encoded = encode(values, Encoding::int4_group(group, 16));
      const Tensor decoded = encoded.decode();
      const Int4 int4(encoded);
      for (int64_t r = 0; r < 20; ++r) {
        for (int64_t begin = 0; begin < n_cols; begin += group) {
          const int64_t end = std::min<int64_t>(n_cols, begin + group);
          float largest = 0;
          double error = 0;
          for (int64_t c = begin; c < end; ++c) {
            const float value = values.data<float>()[r * n_cols + c];
            const float back = decoded.data<float>()[r * n_cols + c];
            EXPECT_EQ(back, static_cast<float>(int4.q(r, c)) * int4.scale(r, c));
            largest = std::max(largest, std::fabs(value));
            error += std::pow(static_cast<double>(value) - back, 2);
          }
          double least = std::numeric_limits<double>::infinity();
          for (const float divisor : {7.0f, 7.5f, 8.0f, 8.5f, 9.0f}) {
            const float scale = bf16_to_f32(f32_to_bf16(largest / divisor));
            double sum = 0;
            for (int64_t c = begin; c < end; ++c) {
              const double value = values.data<float>()[r * n_cols + c];
              const double q = std::min(7.0, std::max(-8.0, std::nearbyint(value / scale)));
              sum += std::pow(value - q * scale, 2);
            }
            least = std::min(least, sum);
          }
          EXPECT_NEAR(error, least, 1e-6 * least) << group << " " << n_cols << " " << r << " " << begin;
        }
      }
    }
  }
}

TEST(Encoding, Int4HalvesAreTheSameIntegers) {
  for (const int64_t n_cols : {1, 7, 8, 31, 40}) {
    const EncodedTensor encoded = encode(random_matrix(5, n_cols, 3), Encoding::int4_group(8, 8));
    const Tensor halves = int4_halves(encoded);
    const Int4 int4(encoded);
    const int64_t n_bytes = (n_cols + 1) / 2;
    ASSERT_EQ(halves.shape(), (Shape{5, n_bytes}));
    for (int64_t r = 0; r < 5; ++r) {
      for (int64_t c = 0; c < 2 * n_bytes; ++c) {
        const int half = halves.data<uint8_t>()[r * n_bytes + c / 2] >> (4 * (c % 2)) & 15;
        EXPECT_EQ(half >= 8 ? half - 16 : half, c < n_cols ? int4.q(r, c) : 0);
      }
    }
  }
}

TEST(Encoding, Int4OfZerosTinyAndLargestNumbers) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float max = std::numeric_limits<float>::max();
  const EncodedTensor encoded =
      encode(Tensor::from({0, -0.0f, 0, 0, tiny, -tiny, 0, 0, max, -max, 1, 0, -max, max / 2, 0, 0}, {4, 4}),
             Encoding::int4_group(32, 8));
  const Int4 int4(encoded);
  EXPECT_EQ(int4.scale(0, 0), 1.0f);
  EXPECT_EQ(int4.scale(1, 0), 1.0f);
  const Tensor decoded = encoded.decode();
  for (int i = 0; i < 8; ++i) EXPECT_EQ(decoded.floats()[static_cast<size_t>(i)], 0.0f);
  for (int i = 8; i < 16; ++i) EXPECT_TRUE(std::isfinite(decoded.floats()[static_cast<size_t>(i)])) << i;
  EXPECT_GT(decoded.floats()[8], 0.8f * max);
  EXPECT_LT(decoded.floats()[12], -0.9f * max);
  EXPECT_EQ(encode(Tensor(DType::kF32, {0, 5}), Encoding::int4_group(32, 8)).decode().size(), 0);
  EXPECT_EQ(encode(Tensor(DType::kF32, {5, 0}), Encoding::int4_group(32, 8)).decode().size(), 0);
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
  EXPECT_THROW(encode(Tensor(DType::kF32, {4}), Encoding::int4_group(32, 8)), Error);
  for (const int group : {-8, 12}) {
    EXPECT_THROW(encode(Tensor(DType::kF32, {2, 2}), Encoding::int4_group(group, 8)), Error);
  }
  EXPECT_THROW(encode(Tensor(DType::kF32, {2, 2}), Encoding::int4_group(32, 4)), Error);
  EXPECT_THROW(encode(Tensor::from({1, NAN}, {1, 2}), Encoding::int4_group(32, 8)), Error);
}

}  // namespace
}  // namespace fettle
