#include "tensor/int_grid.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "tensor/int_group.h"

namespace fettle {
namespace {

using testing::HasSubstr;

Encoding group_encoding(int bits, int group_size, bool asymmetric) {
  return {.kind = EncodingKind::kIntGroup,
          .bits = bits,
          .group_size = group_size,
          .asymmetric = asymmetric,
          .input_bits = 16};
}

std::vector<Encoding> all_encodings() {
  std::vector<Encoding> all = {Encoding::int8_channel()};
  all.push_back(all[0]);
  all.back().per_tensor = true;
  for (const int bits : {2, 3, 4, 6, 8}) {
    for (const int group : {0, 8, 32, 128}) {
      for (const bool asymmetric : {false, true}) all.push_back(group_encoding(bits, group, asymmetric));
    }
  }
  return all;
}

Tensor random_matrix(int64_t n_rows, int64_t n_cols, uint64_t seed, float mean = 0) {
  Philox random(seed);
  Tensor values(DType::kF32, {n_rows, n_cols});
  for (int64_t i = 0; i < values.size(); ++i) values.mutable_data<float>()[i] = 0.05f * (random.normal() + mean);
  return values;
}

// Number `c` of a row, bit by bit.
int number_at(const Tensor& words, int64_t row, int64_t c, int bits) {
  const int64_t per_word = 32 / bits;
  const uint32_t word = words.data<uint32_t>()[row * words.dim(1) + c / per_word];
  int number = 0;
  for (int b = 0; b < bits; ++b) number |= static_cast<int>(word >> (c % per_word * bits + b) & 1u) << b;
  return number;
}

double squared_error(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.size(); ++i) sum += std::pow(double{a.data<float>()[i]} - b.data<float>()[i], 2);
  return sum;
}

TEST(IntGrid, Names) {
  Encoding tensor = Encoding::int8_channel();
  tensor.per_tensor = true;
  EXPECT_EQ(encoding_name(tensor), "int8-tensor");
  EXPECT_EQ(encoding_name(group_encoding(4, 32, false)), "int4-group32");
  EXPECT_EQ(encoding_name(group_encoding(4, 32, true)), "int4-group32-zp");
  EXPECT_EQ(encoding_name(group_encoding(3, 0, false)), "int3-channel");
  EXPECT_EQ(encoding_name(group_encoding(8, 0, true)), "int8-channel-zp");
  EXPECT_NE(encoding_name(group_encoding(8, 0, false)), encoding_name(Encoding::int8_channel()));
}

TEST(IntGrid, Ranges) {
  const auto range = [](const Encoding& encoding) {
    return fmt::format("{} {}", int_range(encoding).lowest, int_range(encoding).highest);
  };
  EXPECT_EQ(range(Encoding::int8_channel()), "-127 127");
  EXPECT_EQ(range(group_encoding(2, 32, false)), "-2 1");
  EXPECT_EQ(range(group_encoding(3, 32, false)), "-4 3");
  EXPECT_EQ(range(group_encoding(4, 32, false)), "-8 7");
  EXPECT_EQ(range(group_encoding(6, 32, false)), "-32 31");
  EXPECT_EQ(range(group_encoding(8, 32, false)), "-127 127");
  EXPECT_EQ(range(group_encoding(2, 32, true)), "0 3");
  EXPECT_EQ(range(group_encoding(8, 32, true)), "0 255");
}

// What is stored, bit by bit, is the integers, and these times the steps are the values.
TEST(IntGrid, StoredAsIntegersOfTheGrid) {
  for (const Encoding& encoding : all_encodings()) {
    for (const int64_t n_cols : {1, 7, 40, 77, 128, 700}) {
      SCOPED_TRACE(fmt::format("{} {}", encoding_name(encoding), n_cols));
      const Tensor values = random_matrix(3, n_cols, 5, 0.5f);
      const IntGrid grid = choose_grid(values, encoding);
      const Tensor integers = round_to_grid(values, grid, encoding);
      const EncodedTensor encoded = from_integers(integers, grid, encoding);
      const bool grouped = encoding.kind == EncodingKind::kIntGroup;
      const int64_t width = encoding.group_size > 0 ? encoding.group_size : n_cols;
      const int64_t n_groups = (n_cols + width - 1) / width;
      ASSERT_EQ(grid.scales.shape(), (encoding.per_tensor ? Shape{1, 1} : Shape{3, n_groups}));
      ASSERT_EQ(grid.zeros.defined(), encoding.asymmetric);
      ASSERT_EQ(encoded.scales.shape(), (grouped ? Shape{3, n_groups} : Shape{encoding.per_tensor ? 1 : 3}));
      ASSERT_EQ(encoded.encoding, encoding);
      const Tensor decoded = encoded.decode();
      for (int64_t r = 0; r < 3; ++r) {
        for (int64_t c = 0; c < n_cols; ++c) {
          const int q = integers.data<int32_t>()[r * n_cols + c];
          const int64_t at = encoding.per_tensor ? 0 : r * n_groups + c / width;
          const int zero = encoding.asymmetric ? grid.zeros.data<uint8_t>()[at] : 0;
          const float scale = grid.scales.data<float>()[at];
          ASSERT_EQ(decoded.data<float>()[r * n_cols + c], static_cast<float>(q - zero) * scale);
          const int stored =
              grouped ? number_at(encoded.data, r, c, encoding.bits) : encoded.data.data<int8_t>()[r * n_cols + c];
          const int offset = grouped && !encoding.asymmetric ? 1 << (encoding.bits - 1) : 0;
          ASSERT_EQ(stored - offset, q);
          ASSERT_GE(q, int_range(encoding).lowest);
          ASSERT_LE(q, int_range(encoding).highest);
        }
      }
      // `encode` is these three steps.
      const EncodedTensor whole = encode(values, encoding);
      EXPECT_EQ(0, std::memcmp(whole.data.raw(), encoded.data.raw(), static_cast<size_t>(whole.data.size_bytes())));
      EXPECT_EQ(0,
                std::memcmp(whole.scales.raw(), encoded.scales.raw(), static_cast<size_t>(whole.scales.size_bytes())));
    }
  }
}

TEST(IntGrid, NearestOfAllIntegers) {
  for (const Encoding& encoding : all_encodings()) {
    SCOPED_TRACE(encoding_name(encoding));
    const Tensor values = random_matrix(2, 160, 6, 1.0f);
    const IntGrid grid = choose_grid(values, encoding);
    const Tensor integers = round_to_grid(values, grid, encoding);
    const int64_t n_groups = grid.scales.dim(1);
    const int64_t width = encoding.group_size > 0 ? encoding.group_size : 160;
    for (int64_t i = 0; i < values.size(); ++i) {
      const int64_t at = encoding.per_tensor ? 0 : i / 160 * n_groups + i % 160 / width;
      const int zero = encoding.asymmetric ? grid.zeros.data<uint8_t>()[at] : 0;
      const double scale = grid.scales.data<float>()[at];
      const double value = values.data<float>()[i];
      double least = std::numeric_limits<double>::infinity();
      for (int q = int_range(encoding).lowest; q <= int_range(encoding).highest; ++q) {
        least = std::min(least, std::abs(value - (q - zero) * scale));
      }
      const double error = std::abs(value - (integers.data<int32_t>()[i] - zero) * scale);
      ASSERT_LE(error, least * (1 + 1e-5) + 1e-9) << i;
    }
  }
}

// The documented candidates, tried one by one in plain code.
TEST(IntGrid, ScalesHaveTheLeastSquaredErrorOfTheirCandidates) {
  for (const Encoding& encoding : all_encodings()) {
    if (encoding.kind != EncodingKind::kIntGroup) continue;
    SCOPED_TRACE(encoding_name(encoding));
    const Tensor values = random_matrix(1, encoding.group_size > 0 ? encoding.group_size : 300, 7, 0.3f);
    const double error = squared_error(values, encode(values, encoding).decode());
    const bool many = encoding.bits < 4 || (encoding.group_size == 0 && encoding.bits < 8);
    const double highest = int_range(encoding).highest;
    float low = 0;
    float high = 0;
    for (const float value : values.floats()) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < (many ? encoding.asymmetric ? 25 : 33 : 5); ++i) {
      const double shrink = 1 - i * (many ? 1.0 / 32 : 0.05);
      const double step = encoding.asymmetric ? (double{high} - low) * shrink / highest
                                              : std::max(high, -low) / (highest + i * (highest + 1) / 16);
      const double scale = bf16_to_f32(f32_to_bf16(static_cast<float>(step)));
      const double zero = encoding.asymmetric ? std::nearbyint(-low * shrink / scale) : 0;
      double sum = 0;
      for (const float value : values.floats()) {
        const double q = std::nearbyint(value / scale) + zero;
        const double bounded = std::min<double>(highest, std::max<double>(int_range(encoding).lowest, q));
        sum += std::pow(value - (bounded - zero) * scale, 2);
      }
      least = std::min(least, sum);
    }
    EXPECT_NEAR(error, least, 1e-4 * least);
  }
}

// Techniques C1 by hand: [-1.25, 2.5] in four bits: steps of 0.25, and 5 means 0.
TEST(IntGrid, ZeroPointByHand) {
  Tensor values = Tensor::from({-1.25f, 2.5f, 0, 0.5f, -0.5f, 1, 1.5f, 0.25f}, {1, 8});
  const EncodedTensor encoded = encode(values, group_encoding(4, 8, true));
  EXPECT_EQ(encoded.zeros.data<uint8_t>()[0], 5);
  EXPECT_EQ(encoded.scales.to(DType::kF32).floats()[0], 0.25f);
  const int expected[8] = {0, 15, 5, 7, 3, 9, 11, 6};
  for (int c = 0; c < 8; ++c) EXPECT_EQ(number_at(encoded.data, 0, c, 4), expected[c]) << c;
  // Zero is zero exactly.
  EXPECT_EQ(encoded.decode().floats()[2], 0.0f);
  EXPECT_EQ(encoded.size_bytes(), 4 + 2 + 4);
}

// Techniques C1, rows as torch 1.13 has them: quantize_per_channel to quint8 with S = (max - min) / 255, Z = round(-min
// / S), and quantize_per_tensor to qint8 with S = max|x| / 127.
TEST(IntGrid, AffineRowsAreThoseOfTorch) {
  const Tensor values = Tensor::from({-1.0f, -0.52f, -0.031f, 0.0f, 0.26f, 0.4999f, 0.77f, 1.93f,  //
                                      0.1f, 0.2f, 0.31f, 0.42f, 0.57f, 0.61f, 0.75f, 0.9f},
                                     {2, 8});
  Tensor zeros(DType::kU8, {2, 1});
  zeros.mutable_data<uint8_t>()[0] = 87;
  const IntGrid rows{Tensor::from({0.0114901951f, 0.00352941174f}, {2, 1}), zeros};
  const Tensor affine = round_to_grid(values, rows, group_encoding(8, 0, true));
  const int expected[16] = {0, 42, 84, 87, 110, 131, 154, 255, 28, 57, 88, 119, 162, 173, 212, 255};
  for (int i = 0; i < 16; ++i) EXPECT_EQ(affine.data<int32_t>()[i], expected[i]) << i;

  Encoding encoding = Encoding::int8_channel();
  encoding.per_tensor = true;
  const EncodedTensor whole = encode(values, encoding);
  EXPECT_FLOAT_EQ(whole.scales.floats()[0], 0.0151968496f);
  const int symmetric[16] = {-66, -34, -2, 0, 17, 33, 51, 127, 7, 13, 20, 28, 38, 40, 49, 59};
  for (int i = 0; i < 16; ++i) EXPECT_EQ(whole.data.data<int8_t>()[i], symmetric[i]) << i;
}

TEST(IntGrid, ZeroPointsServeValuesOfOneSign) {
  for (const int bits : {2, 3, 4, 6, 8}) {
    Tensor values = random_matrix(8, 64, 3);
    for (int64_t i = 0; i < values.size(); ++i) values.mutable_data<float>()[i] = std::fabs(values.floats()[i]) + 0.1f;
    const double with = squared_error(values, encode(values, group_encoding(bits, 32, true)).decode());
    const double without = squared_error(values, encode(values, group_encoding(bits, 32, false)).decode());
    EXPECT_LT(with, 0.6 * without) << bits;
  }
}

// More bits, fewer columns: each must be better.
TEST(IntGrid, ErrorFallsWithBitsAndGroups) {
  const Tensor values = random_matrix(16, 512, 4);
  for (const bool asymmetric : {false, true}) {
    for (const int group : {0, 128, 32}) {
      double before = std::numeric_limits<double>::infinity();
      for (const int bits : {2, 3, 4, 6, 8}) {
        const double error = squared_error(values, encode(values, group_encoding(bits, group, asymmetric)).decode());
        EXPECT_LT(error, 0.5 * before) << bits << " " << group;
        before = error;
      }
    }
    for (const int bits : {2, 3, 4, 6, 8}) {
      double before = std::numeric_limits<double>::infinity();
      for (const int group : {0, 128, 64, 32, 8}) {
        const double error = squared_error(values, encode(values, group_encoding(bits, group, asymmetric)).decode());
        EXPECT_LT(error, before) << bits << " " << group;
        before = error;
      }
    }
  }
}

TEST(IntGrid, ZerosTinyAndLargestNumbers) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float max = std::numeric_limits<float>::max();
  const Tensor values = Tensor::from(
      {0, -0.0f, 0, 0, tiny, -tiny, 0, 0, max, -max, 1, 0, -max, max / 2, 0, 0, max, max, max, max}, {5, 4});
  for (const Encoding& encoding : all_encodings()) {
    SCOPED_TRACE(encoding_name(encoding));
    const EncodedTensor encoded = encode(values, encoding);
    const Tensor decoded = encoded.decode();
    for (int64_t i = 0; i < values.size(); ++i) {
      EXPECT_TRUE(std::isfinite(decoded.data<float>()[i])) << i;
      if (i < 4) {
        EXPECT_EQ(decoded.data<float>()[i], 0.0f) << i;
      }
    }
    // Two bits have one step upwards.
    if (encoding.bits > 2) {
      EXPECT_LT(decoded.data<float>()[12], -0.4f * max);
    }
    EXPECT_EQ(encode(Tensor(DType::kF32, {0, 5}), encoding).decode().size(), 0);
    EXPECT_EQ(encode(Tensor(DType::kF32, {5, 0}), encoding).decode().size(), 0);
  }
}

TEST(IntGrid, PackedZerosComeBack) {
  for (const int bits : {2, 3, 4, 6, 8}) {
    const EncodedTensor encoded = encode(random_matrix(37, 96, 9, 0.4f), group_encoding(bits, 32, true));
    const Tensor packed = packed_zeros(encoded);
    const int64_t per_word = 32 / bits;
    ASSERT_EQ(packed.dtype(), DType::kI32);
    ASSERT_EQ(packed.shape(), (Shape{(37 + per_word - 1) / per_word, 3}));
    for (int64_t r = 0; r < 37; ++r) {
      for (int64_t g = 0; g < 3; ++g) {
        const uint32_t word = packed.data<uint32_t>()[r / per_word * 3 + g];
        EXPECT_EQ(word >> (r % per_word * bits) & ((1u << bits) - 1), encoded.zeros.data<uint8_t>()[r * 3 + g]);
      }
    }
    const Tensor back = unpacked_zeros(packed, bits, 37);
    ASSERT_EQ(back.shape(), encoded.zeros.shape());
    EXPECT_EQ(0, std::memcmp(back.raw(), encoded.zeros.raw(), static_cast<size_t>(back.size_bytes())));
    EXPECT_EQ(encoded.size_bytes(), encoded.data.size_bytes() + encoded.scales.size_bytes() + packed.size_bytes());
  }
}

TEST(IntGrid, RealPackedBytes) {
  const Tensor values = random_matrix(4, 240, 1);
  const int64_t expected[][2] = {{2, 60}, {3, 96}, {4, 120}, {6, 192}, {8, 240}};
  for (const auto& [bits, row_bytes] : expected) {
    const EncodedTensor encoded = encode(values, group_encoding(static_cast<int>(bits), 0, false));
    EXPECT_EQ(encoded.data.size_bytes(), 4 * row_bytes) << bits;
    EXPECT_EQ(encoded.size_bytes(), 4 * (row_bytes + 2)) << bits;
  }
}

TEST(IntGrid, HalvesOfFewBits) {
  for (const int bits : {2, 3, 4}) {
    for (const int64_t n_cols : {1, 9, 40}) {
      const Encoding encoding = group_encoding(bits, 8, false);
      const Tensor values = random_matrix(3, n_cols, 8);
      const Tensor integers = round_to_grid(values, choose_grid(values, encoding), encoding);
      const Tensor halves = int4_halves(encode(values, encoding));
      const int64_t n_bytes = (n_cols + 1) / 2;
      for (int64_t i = 0; i < 3 * n_bytes * 2; ++i) {
        const int half = halves.data<uint8_t>()[i / 2] >> (4 * (i % 2)) & 15;
        const int64_t c = i % (2 * n_bytes);
        const int q = c < n_cols ? integers.data<int32_t>()[i / (2 * n_bytes) * n_cols + c] : 0;
        EXPECT_EQ(half >= 8 ? half - 16 : half, q);
      }
    }
  }
}

TEST(IntGrid, LearnedScalesAreKept) {
  const Encoding encoding = group_encoding(4, 0, false);
  const Tensor integers = Tensor::from_i32({1, -8, 7, 0}, {2, 2});
  const EncodedTensor plain = from_integers(integers, {Tensor::from({0.5f, 2}, {2, 1}), {}}, encoding);
  EXPECT_EQ(plain.scales.dtype(), DType::kBF16);
  const EncodedTensor fine = from_integers(integers, {Tensor::from({0.1f, 2}, {2, 1}), {}}, encoding);
  EXPECT_EQ(fine.scales.dtype(), DType::kF32);
  EXPECT_EQ(fine.decode().floats()[1], -8 * 0.1f);
  EXPECT_EQ(stored_scale(encoding, 0.1f), bf16_to_f32(f32_to_bf16(0.1f)));
  EXPECT_EQ(stored_scale(Encoding::int8_channel(), 0.1f), 0.1f);
}

TEST(IntGrid, ScalesOfRowsForOneOfAll) {
  Encoding encoding = Encoding::int8_channel();
  encoding.per_tensor = true;
  const EncodedTensor encoded = encode(random_matrix(5, 24, 2), encoding);
  EXPECT_EQ(encoded.scales.size(), 1);
  const EncodedTensor rows = with_row_scales(encoded);
  EXPECT_EQ(rows.encoding, Encoding::int8_channel());
  EXPECT_EQ(rows.scales.shape(), Shape{5});
  EXPECT_EQ(squared_error(rows.decode(), encoded.decode()), 0);
  EXPECT_EQ(rows.data.raw(), encoded.data.raw());
}

TEST(IntGrid, WhatHasNoEncoderIsRefused) {
  const auto error_of = [](const Encoding& encoding) {
    try {
      encode(Tensor(DType::kF32, {2, 8}), encoding);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("encoded");
  };
  EXPECT_THAT(error_of(group_encoding(5, 32, false)), HasSubstr("2, 3, 4, 6 or 8 bits, not 5"));
  EXPECT_THAT(error_of(group_encoding(4, 12, false)), HasSubstr("a multiple of 8 columns, not 12"));
  Encoding odd = group_encoding(4, 32, false);
  odd.input_bits = 4;
  EXPECT_THAT(error_of(odd), HasSubstr("8 or 16 bits, not 4"));
  odd = group_encoding(4, 32, false);
  odd.static_input = true;
  EXPECT_THAT(error_of(odd), HasSubstr("have 8 bits"));
  odd = group_encoding(4, 0, false);
  odd.per_tensor = true;
  EXPECT_THAT(error_of(odd), HasSubstr("one scale for all"));
  odd = Encoding::int8_channel();
  odd.asymmetric = true;
  EXPECT_THAT(error_of(odd), HasSubstr("zero points need groups"));

  const Encoding encoding = group_encoding(3, 8, false);
  const IntGrid grid = choose_grid(Tensor(DType::kF32, {1, 8}), encoding);
  EXPECT_THROW(from_integers(Tensor::from_i32({0, 0, 4, 0, 0, 0, 0, 0}, {1, 8}), grid, encoding), Error);
  EXPECT_THROW(from_integers(Tensor::from_i32({0, 0, -5, 0, 0, 0, 0, 0}, {1, 8}), grid, encoding), Error);
}

}  // namespace
}  // namespace fettle
