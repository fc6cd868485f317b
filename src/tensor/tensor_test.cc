#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>

#include "base/error.h"

namespace fettle {
namespace {

TEST(Shape, CountAndText) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({2, 3, 4}), 24);
  EXPECT_EQ(element_count({5, 0}), 0);
  EXPECT_EQ(shape_to_string({2, 768}), "[2, 768]");
  EXPECT_EQ(shape_to_string({}), "[]");
}

TEST(Shape, NonsenseIsBadInput) {
  const int64_t big = int64_t{1} << 32;
  for (const Shape& shape : {Shape{big, big}, Shape{INT64_MAX, 2}, Shape{-1}, Shape{0, -3}, Shape{big, big, 0}}) {
    try {
      element_count(shape);
      ADD_FAILURE() << shape_to_string(shape);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    }
  }
  EXPECT_THROW(Tensor(DType::kF64, {int64_t{1} << 61}), Error) << "bytes overflow where elements do not";
  EXPECT_THROW(Tensor(DType::kF32, {int64_t{1} << 58}), Error) << "more than there is memory";
}

TEST(Tensor, NewBuffersAreAlignedZeroAndWritable) {
  for (const int64_t n : {1, 3, 17, 1000, 300000}) {
    Tensor tensor(DType::kF32, {n});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.raw()) % 64, 0u);
    for (const float value : tensor.floats()) ASSERT_EQ(value, 0.0f);
    EXPECT_TRUE(tensor.writable());
    tensor.mutable_data<float>()[n - 1] = 1;
    EXPECT_EQ(tensor.size_bytes(), 4 * n);
  }
}

TEST(Tensor, DefinedOnlyWhenMade) {
  EXPECT_FALSE(Tensor().defined());
  EXPECT_TRUE(Tensor(DType::kF32, {0, 4}).defined());
  EXPECT_TRUE(Tensor(DType::kF32, {}).defined());
  EXPECT_EQ(Tensor(DType::kF32, {}).size(), 1);
  EXPECT_TRUE(Tensor::view(DType::kI8, {0}, nullptr, nullptr).defined());
}

TEST(Tensor, FromValues) {
  const Tensor tensor = Tensor::from({1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_EQ(tensor.dim(0), 2);
  EXPECT_EQ(tensor.dim(-1), 3);
  EXPECT_EQ(tensor.rank(), 2);
  EXPECT_EQ(tensor.floats()[5], 6.0f);
  EXPECT_EQ(Tensor::from_i32({7, 8}, {2}).data<int32_t>()[1], 8);
  EXPECT_THROW(Tensor::from({1, 2}, {3}), Error);
}

TEST(Tensor, CopiesShareAndClonesDoNot) {
  Tensor tensor = Tensor::from({1, 2, 3}, {3});
  Tensor shared = tensor;
  const Tensor clone = tensor.clone();
  shared.mutable_data<float>()[0] = 9;
  EXPECT_EQ(tensor.floats()[0], 9.0f);
  EXPECT_EQ(clone.floats()[0], 1.0f);
  EXPECT_FALSE(Tensor().clone().defined());
}

TEST(Tensor, RowsAndReshapedShare) {
  Tensor tensor = Tensor::from({0, 1, 2, 3, 4, 5, 6, 7}, {4, 2});
  Tensor middle = tensor.rows(1, 3);
  EXPECT_EQ(middle.shape(), (Shape{2, 2}));
  EXPECT_EQ(middle.floats()[0], 2.0f);
  middle.mutable_data<float>()[3] = 50;
  EXPECT_EQ(tensor.reshaped({2, 2, 2}).floats()[5], 50.0f);
  EXPECT_EQ(tensor.rows(4, 4).size(), 0);
  EXPECT_TRUE(tensor.rows(4, 4).defined());
  EXPECT_EQ(Tensor(DType::kF32, {0, 3}).rows(0, 0).size(), 0);
  EXPECT_THROW(tensor.rows(-1, 2), Error);
  EXPECT_THROW(tensor.rows(3, 2), Error);
  EXPECT_THROW(tensor.rows(0, 5), Error);
  EXPECT_THROW(Tensor(DType::kF32, {}).rows(0, 1), Error);
  EXPECT_THROW(tensor.reshaped({3, 3}), Error);
  EXPECT_THROW(tensor.reshaped({-2, -4}), Error);
}

TEST(Tensor, BuffersLiveAsLongAsTheirViews) {
  Tensor rows;
  {
    const Tensor tensor = Tensor::from({1, 2, 3, 4}, {2, 2});
    rows = tensor.rows(1, 2);
  }
  EXPECT_EQ(rows.floats()[1], 4.0f);
}

TEST(Tensor, ViewsKeepTheirOwnerAndAreReadOnly) {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3});
  Tensor view = Tensor::view(DType::kF32, {3}, owner->data(), owner);
  EXPECT_EQ(view.raw(), owner->data());
  EXPECT_EQ(owner.use_count(), 2);
  EXPECT_FALSE(view.writable());
  EXPECT_THROW(view.mutable_data<float>(), Error);
  EXPECT_THROW(view.rows(0, 1).raw_mutable(), Error);
  Tensor clone = view.clone();
  clone.mutable_data<float>()[0] = 5;
  EXPECT_EQ((*owner)[0], 1.0f);
  view = Tensor();
  EXPECT_EQ(owner.use_count(), 1);
}

// Files may put a tensor at any byte; reading floats from an odd address is undefined.
TEST(Tensor, MisalignedViewsAreCopied) {
  auto owner = std::make_shared<std::vector<std::byte>>(64);
  const float values[3] = {1.5f, -2.0f, 3.0f};
  std::memcpy(owner->data() + 1, values, sizeof values);
  const Tensor view = Tensor::view(DType::kF32, {3}, owner->data() + 1, owner);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(view.raw()) % 4, 0u);
  EXPECT_EQ(view.floats()[1], -2.0f);
  EXPECT_FALSE(view.writable());
  EXPECT_EQ(Tensor::view(DType::kI8, {3}, owner->data() + 1, owner).raw(), owner->data() + 1);
}

TEST(Tensor, FloatConversions) {
  const Tensor values = Tensor::from({1.0f, -0.333333f, 65504.0f, 1e-8f, NAN}, {5});
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const Tensor half = values.to(dtype);
    EXPECT_EQ(half.dtype(), dtype);
    EXPECT_EQ(half.shape(), values.shape());
    for (int i = 0; i < 5; ++i) {
      const float value = values.floats()[static_cast<size_t>(i)];
      EXPECT_EQ(half.data<uint16_t>()[i], dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value));
    }
    EXPECT_EQ(half.to(DType::kF32).floats()[0], 1.0f);
    EXPECT_TRUE(std::isnan(half.to(DType::kF64).data<double>()[4]));
  }
  EXPECT_EQ(Tensor::from({2.0f}, {1}).to(DType::kF16).to(DType::kBF16).data<uint16_t>()[0], 0x4000);
  Tensor wide(DType::kF64, {1});
  wide.mutable_data<double>()[0] = 0.1;
  EXPECT_EQ(wide.to(DType::kF32).floats()[0], 0.1f);
}

// A hair above the middle of two neighbours: rounding by way of f32 would first fall onto the middle, then to the even.
TEST(Tensor, DoublesAreRoundedOnce) {
  const std::vector<double> values = {1 + 0x1p-11 + 0x1p-40,
                                      1 + 3 * 0x1p-11 - 0x1p-40,
                                      -(1 + 0x1p-11 + 0x1p-40),
                                      0x1p-25 + 0x1p-60,
                                      65520 - 0x1p-30,
                                      1e300,
                                      -1e-300,
                                      1 + 0x1p-8 + 0x1p-40,
                                      1 + 3 * 0x1p-8 - 0x1p-40};
  const std::vector<uint16_t> as_f16 = {0x3c01, 0x3c01, 0xbc01, 0x0001, 0x7bff, 0x7c00, 0x8000, 0x3c04, 0x3c0c};
  const std::vector<uint16_t> as_bf16 = {0x3f80, 0x3f80, 0xbf80, 0x3300, 0x4780, 0x7f80, 0x8000, 0x3f81, 0x3f81};
  Tensor wide(DType::kF64, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), wide.mutable_data<double>());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(wide.to(DType::kF16).data<uint16_t>()[i], as_f16[i]) << values[i];
    EXPECT_EQ(wide.to(DType::kBF16).data<uint16_t>()[i], as_bf16[i]) << values[i];
  }
}

TEST(Tensor, SameTypeShares) {
  const Tensor values = Tensor::from({1, 2}, {2});
  EXPECT_EQ(values.to(DType::kF32).raw(), values.raw());
}

TEST(Tensor, IntegersBecomeF32Only) {
  const auto check = [](DType dtype, auto value, float expected) {
    Tensor tensor(dtype, {2});
    std::memcpy(static_cast<std::byte*>(tensor.raw_mutable()) + sizeof value, &value, sizeof value);
    EXPECT_EQ(tensor.to(DType::kF32).floats()[0], 0.0f);
    EXPECT_EQ(tensor.to(DType::kF32).floats()[1], expected);
    EXPECT_THROW(tensor.to(DType::kF16), Error);
  };
  check(DType::kI64, int64_t{-5000000000}, -5e9f);
  check(DType::kI32, int32_t{-7}, -7.0f);
  check(DType::kI16, int16_t{-300}, -300.0f);
  check(DType::kI8, int8_t{-128}, -128.0f);
  check(DType::kU8, uint8_t{255}, 255.0f);
  check(DType::kBool, uint8_t{1}, 1.0f);
  EXPECT_THROW(Tensor::from({1}, {1}).to(DType::kI32), Error);
}

}  // namespace
}  // namespace fettle
