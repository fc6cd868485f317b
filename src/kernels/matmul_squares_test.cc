// The sum of squares that a product leaves beside its result, on every table.
#include <gtest/gtest.h>

#include <vector>

#include "base/philox.h"
#include "kernels/dispatch.h"

namespace fettle {
namespace {

using Floats = std::vector<float>;

struct Shape3 {
  int64_t m, n, k;
};

Floats random_floats(int64_t n, uint64_t stream) {
  Philox random(7, stream);
  Floats values(static_cast<size_t>(n));
  for (float& value : values) value = random.normal();
  return values;
}

class MatmulSquares : public testing::TestWithParam<const KernelTable*> {};

// The product with squares has the bits of the one without, and the squares those of its values.
double checked_squares(void (*product)(const Matmul&, ThreadPool&), const Shape3& shape, int n_threads) {
  ThreadPool pool(n_threads);
  const Floats a = random_floats(shape.m * shape.k, 1);
  const Floats b = random_floats(shape.k * shape.n, 2);
  Floats expected(static_cast<size_t>(shape.m * shape.n));
  Floats c(expected.size(), -7.0f);
  Matmul p{.m = shape.m,
           .n = shape.n,
           .k = shape.k,
           .a = a.data(),
           .lda = shape.k,
           .b = b.data(),
           .ldb = shape.n,
           .c = expected.data(),
           .ldc = shape.n};
  product(p, pool);
  double sum = -1;
  p.c = c.data();
  p.sum_of_squares = &sum;
  product(p, pool);
  EXPECT_EQ(c, expected);
  double squares = 0;
  for (const float value : expected) squares += static_cast<double>(value) * value;
  EXPECT_NEAR(sum, squares, 1e-12 * squares);
  return sum;
}

TEST_P(MatmulSquares, AreThoseOfTheResult) {
  for (const auto product : {GetParam()->matmul_f32, GetParam()->matmul_bf16}) {
    for (const Shape3& shape : {Shape3{1, 1, 3}, Shape3{17, 33, 40}, Shape3{40, 19, 5}, Shape3{6, 64, 500}}) {
      checked_squares(product, shape, 1);
    }
    if (GetParam()->name == "reference") continue;
    // Large and aligned, so that results may be written past the caches; deep, so that sums wait between steps.
    checked_squares(product, {512, 528, 64}, 2);
    checked_squares(product, {300, 200, 900}, 2);
  }
}

TEST_P(MatmulSquares, HaveTheSameBitsAtAnyNumberOfThreads) {
  const auto product = GetParam()->matmul_bf16;
  const double alone = checked_squares(product, {200, 190, 30}, 1);
  for (const int n_threads : {2, 3}) EXPECT_EQ(checked_squares(product, {200, 190, 30}, n_threads), alone);
}

TEST_P(MatmulSquares, OfNothingAreZero) {
  ThreadPool pool(1);
  for (const auto product : {GetParam()->matmul_f32, GetParam()->matmul_bf16}) {
    double sum = -1;
    product({.m = 0, .n = 4, .k = 4, .sum_of_squares = &sum}, pool);
    EXPECT_EQ(sum, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, MatmulSquares, testing::ValuesIn(supported_tables().begin(), supported_tables().end()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace fettle
