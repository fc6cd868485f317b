#include "format/strided.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "base/error.h"

namespace fettle {
namespace {

TEST(Strided, Contiguity) {
  EXPECT_TRUE(is_contiguous({}, {}));
  EXPECT_TRUE(is_contiguous({2, 3}, {3, 1}));
  EXPECT_TRUE(is_contiguous({1, 3}, {99, 1}));
  EXPECT_TRUE(is_contiguous({0, 3}, {7, 7}));
  EXPECT_FALSE(is_contiguous({2, 3}, {1, 2}));
  EXPECT_FALSE(is_contiguous({2, 3}, {0, 1}));
  EXPECT_FALSE(is_contiguous({3}, {2}));
}

TEST(Strided, Extent) {
  EXPECT_EQ(strided_extent({}, {}, "x"), 1);
  EXPECT_EQ(strided_extent({2, 3}, {3, 1}, "x"), 6);
  EXPECT_EQ(strided_extent({2, 3}, {10, 4}, "x"), 19);
  EXPECT_EQ(strided_extent({5}, {0}, "x"), 1);
  EXPECT_EQ(strided_extent({5, 0}, {1000, 1}, "x"), 0);
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_THROW(strided_extent({3}, {kHuge}, "x"), Error);
  EXPECT_THROW(strided_extent({2, 2}, {kHuge, kHuge}, "x"), Error);
  EXPECT_THROW(strided_extent({2}, {kHuge}, "x"), Error);
}

template <typename T>
void check_copy(const Shape& shape, const Shape& strides) {
  std::vector<T> storage(200);
  for (size_t i = 0; i < storage.size(); ++i) storage[i] = static_cast<T>(i);
  std::vector<T> expected(static_cast<size_t>(element_count(shape)));
  for (size_t i = 0; i < expected.size(); ++i) {
    size_t rest = i, place = 0;
    for (size_t axis = shape.size(); axis-- > 0;) {
      place += rest % static_cast<size_t>(shape[axis]) * static_cast<size_t>(strides[axis]);
      rest /= static_cast<size_t>(shape[axis]);
    }
    expected[i] = storage[place];
  }
  std::vector<T> out(expected.size());
  strided_copy(reinterpret_cast<const std::byte*>(storage.data()), shape, strides, sizeof(T),
               reinterpret_cast<std::byte*>(out.data()));
  EXPECT_EQ(out, expected) << shape_to_string(shape);
}

TEST(Strided, CopiesAgreeWithIndexArithmetic) {
  const std::pair<Shape, Shape> cases[] = {{{}, {}},
                                           {{7}, {3}},
                                           {{4}, {0}},
                                           {{3, 4}, {1, 3}},
                                           {{2, 3, 4}, {1, 8, 2}},
                                           {{2, 1, 3, 2}, {60, 5, 0, 7}},
                                           {{0, 3}, {3, 1}},
                                           {{1, 1}, {5, 5}},
                                           {{2, 2, 2, 2, 2, 2}, {1, 2, 4, 8, 16, 32}}};
  for (const auto& [shape, strides] : cases) {
    check_copy<uint8_t>(shape, strides);
    check_copy<uint16_t>(shape, strides);
    check_copy<uint32_t>(shape, strides);
    check_copy<uint64_t>(shape, strides);
  }
}

}  // namespace
}  // namespace fettle
