#include "base/checked.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "base/error.h"

namespace fettle {
namespace {

TEST(Checked, ExactUpToTheLimit) {
  EXPECT_EQ(checked_mul(3, 4, "t"), 12);
  EXPECT_EQ(checked_mul(0, INT64_MAX, "t"), 0);
  EXPECT_EQ(checked_mul(INT64_MAX, 1, "t"), INT64_MAX);
  EXPECT_EQ(checked_mul(int64_t{1} << 31, int64_t{1} << 31, "t"), int64_t{1} << 62);
  EXPECT_EQ(checked_add(INT64_MAX - 1, 1, "t"), INT64_MAX);
}

TEST(Checked, OverflowIsBadInput) {
  EXPECT_THROW(checked_mul(int64_t{1} << 32, int64_t{1} << 32, "t"), Error);
  EXPECT_THROW(checked_mul(INT64_MAX, 2, "t"), Error);
  EXPECT_THROW(checked_add(INT64_MAX, 1, "t"), Error);
}

TEST(Checked, NegativeSizesAreBadInput) {
  EXPECT_THROW(checked_mul(-1, 4, "t"), Error);
  EXPECT_THROW(checked_mul(4, -1, "t"), Error);
  EXPECT_THROW(checked_add(-1, 1, "t"), Error);
  try {
    checked_mul(-7, 4, "tensor wte");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    EXPECT_STREQ(error.what(), "tensor wte: negative size -7");
  }
}

}  // namespace
}  // namespace fettle
