#include "tensor/sparse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/philox.h"

namespace fettle {
namespace {

using testing::HasSubstr;

// A matrix whose blocks of block_rows × block_cols are kept with a probability; kept ones have no zeros.
Tensor blocky(const Shape& shape, int64_t block_rows, int64_t block_cols, double kept, uint64_t stream = 1) {
  Tensor values(DType::kF32, shape);
  Philox random(5, stream);
  const int64_t grid_cols = (shape[1] + block_cols - 1) / block_cols;
  std::vector<bool> is_kept(static_cast<size_t>((shape[0] + block_rows - 1) / block_rows * grid_cols));
  for (auto block : is_kept) block = random.uniform() < kept;
  for (int64_t r = 0; r < shape[0]; ++r) {
    for (int64_t c = 0; c < shape[1]; ++c) {
      const auto block = static_cast<size_t>(r / block_rows * grid_cols + c / block_cols);
      const float value = random.normal() + 3;
      values.mutable_data<float>()[r * shape[1] + c] = is_kept[block] ? value : 0.0f;
    }
  }
  return values;
}

// Two of four neighbours at most.
Tensor two_of_four(const Shape& shape) {
  Tensor values = blocky(shape, 1, 1, 1);
  Philox random(6);
  for (int64_t r = 0; r < shape[0]; ++r) {
    for (int64_t g = 0; g < shape[1]; g += 4) {
      for (int64_t half = 0; half < 4; half += 2) {
        const auto i = static_cast<int64_t>(random.below(2)) + half;
        if (g + i < shape[1]) values.mutable_data<float>()[r * shape[1] + g + i] = 0;
      }
    }
  }
  return values;
}

std::vector<Encoding> number_kinds() {
  Encoding weights_alone = Encoding::int8_channel();
  weights_alone.input_bits = 16;
  return {Encoding::dense(DType::kF32), Encoding::dense(DType::kBF16), Encoding::dense(DType::kF16),
          Encoding::int8_channel(), weights_alone};
}

void expect_same(const EncodedTensor& a, const EncodedTensor& b) {
  EXPECT_EQ(a.encoding, b.encoding);
  ASSERT_EQ(a.data.shape(), b.data.shape());
  EXPECT_EQ(0, std::memcmp(a.data.raw(), b.data.raw(), static_cast<size_t>(a.data.size_bytes())));
  ASSERT_EQ(a.scales.defined(), b.scales.defined());
  if (a.scales.defined()) {
    EXPECT_EQ(0, std::memcmp(a.scales.raw(), b.scales.raw(), static_cast<size_t>(a.scales.size_bytes())));
  }
}

TEST(Sparse, Names) {
  EXPECT_EQ(encoding_name(Encoding::sparse(Encoding::int8_channel(), SparsePattern::kBlock4x1)), "int8-4x1");
  EXPECT_EQ(encoding_name(Encoding::sparse(Encoding{}, SparsePattern::kBitmask)), "f32-bitmask");
  EXPECT_EQ(encoding_name(Encoding::sparse(Encoding::dense(DType::kBF16), SparsePattern::kTwoOfFour)), "bf16-2:4");
  EXPECT_EQ(encoding_name(Encoding::sparse(Encoding::int8_channel(), SparsePattern::kBlock32x32)), "int8-32x32");
  EXPECT_EQ(numbers_of(Encoding::sparse(Encoding::int8_channel(), SparsePattern::kBitmask)), Encoding::int8_channel());
}

TEST(Sparse, ExactForEveryPatternNumberAndShape) {
  for (const Shape& shape : {Shape{64, 96}, Shape{1, 1}, Shape{3, 5}, Shape{33, 31}, Shape{70, 130}, Shape{5, 13},
                             Shape{0, 8}, Shape{4, 0}, Shape{100, 67}}) {
    for (const double kept : {0.0, 0.1, 0.5, 1.0}) {
      for (const SparsePattern pattern : kSparsePatterns) {
        const Tensor values = pattern == SparsePattern::kTwoOfFour ? two_of_four(shape) : blocky(shape, 1, 1, kept);
        for (const Encoding& numbers : number_kinds()) {
          SCOPED_TRACE(encoding_name(Encoding::sparse(numbers, pattern)) + shape_to_string(shape));
          const EncodedTensor dense = encode(values, numbers);
          const EncodedTensor sparse = to_sparse(dense, pattern);
          EXPECT_EQ(sparse.encoding, Encoding::sparse(numbers, pattern));
          EXPECT_EQ(sparse_fault(sparse), "");
          expect_same(to_dense(sparse), dense);
          EXPECT_EQ(sparse.size_bytes(), stored_bytes(dense, pattern));
          EXPECT_EQ(count_nonzeros(sparse), count_nonzeros(dense));
          const Tensor decoded = sparse.decode();
          const Tensor expected = dense.decode();
          ASSERT_EQ(0, std::memcmp(decoded.raw(), expected.raw(), static_cast<size_t>(expected.size_bytes())));
          expect_same(to_dense(encode(values, sparse.encoding)), dense);
        }
      }
    }
  }
}

TEST(Sparse, LayoutsByHand) {
  const Tensor values = Tensor::from({1, 0, 0, 2, 0, 3, 0, 0, 0, 0,  //
                                      0, 0, 0, 0, 0, 0, 0, 0, 4, 0},
                                     {2, 10});
  const EncodedTensor dense = EncodedTensor::dense(values);
  const EncodedTensor mask = to_sparse(dense, SparsePattern::kBitmask);
  EXPECT_THAT(mask.data.floats(), testing::ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(mask.index.shape(), (Shape{2, 2}));
  const std::vector<uint8_t> mask_bytes(mask.index.data<uint8_t>(), mask.index.data<uint8_t>() + 4);
  EXPECT_THAT(mask_bytes, testing::ElementsAre(0b00101001, 0, 0, 0b1));
  // Groups 1002, 0300, 00: pairs 03, 01 (filled up from the left), 01.
  const EncodedTensor pairs = to_sparse(dense, SparsePattern::kTwoOfFour);
  EXPECT_THAT(pairs.data.floats(), testing::ElementsAre(1, 2, 0, 3, 0, 0, 0, 0, 0, 0, 4, 0));
  EXPECT_EQ(pairs.index.shape(), (Shape{2, 1}));
  EXPECT_EQ(pairs.index.data<uint8_t>()[0], 2 + 6 * 0 + 36 * 0);
  const EncodedTensor blocks = to_sparse(dense, SparsePattern::kBlock4x1);
  EXPECT_EQ(blocks.data.shape(), (Shape{3, 4}));
  EXPECT_THAT(blocks.data.floats(), testing::ElementsAre(1, 0, 0, 2, 0, 3, 0, 0, 4, 0, 0, 0));
  EXPECT_EQ(blocks.index.data<uint8_t>()[0], 0b011);
  EXPECT_EQ(blocks.index.data<uint8_t>()[1], 0b100);
  const EncodedTensor squares = to_sparse(dense, SparsePattern::kBlock32x32);
  EXPECT_EQ(squares.data.shape(), (Shape{1, 32, 32}));
  EXPECT_EQ(squares.data.floats()[3], 2);
  EXPECT_EQ(squares.data.floats()[32 + 8], 4);
}

// What is not a number must not be lost; what was multiplied with a mask may be a negative zero.
TEST(Sparse, NegativeZerosAreZerosAndNansAreNot) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const EncodedTensor dense = EncodedTensor::dense(Tensor::from({-0.0f, nan, 0, -1e-45f}, {1, 4}));
  const EncodedTensor sparse = to_sparse(dense, SparsePattern::kBitmask);
  ASSERT_EQ(sparse.data.size(), 2);
  EXPECT_TRUE(std::isnan(sparse.data.floats()[0]));
  EXPECT_EQ(sparse.data.floats()[1], -1e-45f);
  EXPECT_FALSE(std::signbit(sparse.decode().floats()[0]));
}

TEST(Sparse, TwoOfFourOfInt8HasLessThanThreeFifthsOfTheBytes) {
  for (const Shape& shape : {Shape{64, 768}, Shape{32, 3072}, Shape{256, 128}}) {
    const EncodedTensor dense = encode(two_of_four(shape), Encoding::int8_channel());
    const EncodedTensor sparse = to_sparse(dense, SparsePattern::kTwoOfFour);
    EXPECT_LE(static_cast<double>(sparse.size_bytes()), 0.6 * static_cast<double>(dense.size_bytes()))
        << shape_to_string(shape);
  }
}

TEST(Sparse, TheSmallestIsFound) {
  const Shape shape = {128, 128};
  const Encoding int8 = Encoding::int8_channel();
  EXPECT_EQ(smallest_encoding(blocky(shape, 1, 1, 1), int8), int8);
  EXPECT_EQ(smallest_encoding(blocky(shape, 1, 1, 0.95), int8), int8) << "a mask costs more than it saves";
  EXPECT_EQ(smallest_encoding(two_of_four(shape), int8), Encoding::sparse(int8, SparsePattern::kTwoOfFour));
  EXPECT_EQ(smallest_encoding(blocky(shape, 1, 1, 0.2), int8), Encoding::sparse(int8, SparsePattern::kBitmask));
  EXPECT_EQ(smallest_encoding(blocky(shape, 1, 4, 0.2), int8), Encoding::sparse(int8, SparsePattern::kBlock4x1));
  EXPECT_EQ(smallest_encoding(blocky(shape, 32, 32, 0.2), int8), Encoding::sparse(int8, SparsePattern::kBlock32x32));
  const Encoding f32 = Encoding::dense(DType::kF32);
  EXPECT_EQ(smallest_encoding(blocky(shape, 1, 1, 0.95), f32), Encoding::sparse(f32, SparsePattern::kBitmask));
  // Nothing else has fewer bytes.
  for (const double kept : {0.05, 0.3, 0.6, 0.9}) {
    for (const int64_t width : {1, 4}) {
      const EncodedTensor dense = encode(blocky({60, 70}, 1, width, kept), int8);
      const EncodedTensor smallest = to_smallest(dense);
      expect_same(to_dense(smallest), dense);
      EXPECT_LE(smallest.size_bytes(), dense.size_bytes());
      for (const SparsePattern pattern : kSparsePatterns) {
        const int64_t n = stored_bytes(dense, pattern);
        EXPECT_TRUE(n < 0 || smallest.size_bytes() <= n) << pattern_name(pattern) << " " << kept;
      }
    }
  }
}

TEST(Sparse, WhatHasNoSparseFormIsLeftAlone) {
  const EncodedTensor int4 = encode(blocky({8, 32}, 1, 1, 0.1), Encoding::int4_group(8, 8));
  EXPECT_EQ(smallest_pattern(int4), SparsePattern::kNone);
  EXPECT_EQ(to_smallest(int4).encoding, int4.encoding);
  EXPECT_THROW(to_sparse(int4, SparsePattern::kBitmask), Error);
  const EncodedTensor bias = EncodedTensor::dense(Tensor(DType::kF32, {40}));
  EXPECT_EQ(smallest_pattern(bias), SparsePattern::kNone);
  EXPECT_THROW(to_sparse(encode(blocky({8, 32}, 1, 1, 1), Encoding::int8_channel()), SparsePattern::kTwoOfFour), Error);
}

TEST(Sparse, MalformedOnesAreTold) {
  const EncodedTensor dense = encode(two_of_four({6, 27}), Encoding::int8_channel());
  for (const SparsePattern pattern : kSparsePatterns) {
    const EncodedTensor good = to_sparse(dense, pattern);
    EncodedTensor bad = good;
    bad.data = Tensor(DType::kI8, {good.data.size() + 1});
    EXPECT_THAT(sparse_fault(bad), HasSubstr("values")) << pattern_name(pattern);
    bad = good;
    bad.data = Tensor(DType::kF32, good.data.shape());
    EXPECT_THAT(sparse_fault(bad), HasSubstr("values")) << pattern_name(pattern);
    bad = good;
    bad.index = Tensor(DType::kU8, {good.index.dim(0), good.index.dim(1) + 1});
    EXPECT_NE(sparse_fault(bad), "") << pattern_name(pattern);
    bad = good;
    bad.index = Tensor();
    EXPECT_THAT(sparse_fault(bad), HasSubstr("missing")) << pattern_name(pattern);
    // Other bits, another count; a code that is none; bits behind the end.
    bad = good;
    bad.index = good.index.clone();
    bad.index.mutable_data<uint8_t>()[0] = pattern == SparsePattern::kTwoOfFour ? 216 : 0;
    EXPECT_NE(sparse_fault(bad), "") << pattern_name(pattern);
    if (pattern == SparsePattern::kTwoOfFour) continue;
    bad.index = good.index.clone();
    bad.index.mutable_data<uint8_t>()[bad.index.dim(1) - 1] |= 0x80;
    EXPECT_THAT(sparse_fault(bad), HasSubstr("behind")) << pattern_name(pattern);
  }
}

TEST(Sparse, BitmasksOfTwoOfFour) {
  for (const Shape& shape : {Shape{5, 16}, Shape{3, 12}, Shape{4, 8}, Shape{2, 36}}) {
    const EncodedTensor sparse = to_sparse(EncodedTensor::dense(two_of_four(shape)), SparsePattern::kTwoOfFour);
    const Tensor mask = two_of_four_bitmask(sparse);
    const Tensor index = two_of_four_index(mask, shape);
    ASSERT_TRUE(index.defined());
    EXPECT_EQ(0, std::memcmp(index.raw(), sparse.index.raw(), static_cast<size_t>(index.size_bytes())));
    // A number stands only where the mask has a bit.
    const Tensor values = sparse.decode();
    for (int64_t i = 0; i < values.size(); ++i) {
      const int64_t row = i / shape[1];
      const int64_t col = i % shape[1];
      const bool bit = (mask.data<uint8_t>()[row * mask.dim(1) + col / 8] >> (col % 8) & 1) != 0;
      EXPECT_TRUE(bit || values.floats()[static_cast<size_t>(i)] == 0);
    }
    Tensor three = mask.clone();
    three.mutable_data<uint8_t>()[0] |= 0x07;
    EXPECT_FALSE(two_of_four_index(three, shape).defined());
    EXPECT_FALSE(two_of_four_index(mask, {shape[0] + 1, shape[1]}).defined());
  }
}

}  // namespace
}  // namespace fettle
