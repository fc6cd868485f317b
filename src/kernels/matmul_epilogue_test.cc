// What a product does with its result on the way: on every table the same as the steps one by one.
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "base/philox.h"
#include "kernels/dispatch.h"

namespace fettle {
namespace {

using Floats = std::vector<float>;

Floats random_floats(int64_t n, uint64_t stream) {
  Philox random(7, stream);
  Floats values(static_cast<size_t>(n));
  for (float& value : values) value = random.normal();
  return values;
}

struct Epilogue {
  Activation activation = Activation::kNone;
  bool keeps_argument = false;
  bool has_slope = false;
};

class MatmulEpilogue : public testing::TestWithParam<const KernelTable*> {};

struct Shape3 {
  int64_t m, n, k;
};

// Products in both precisions against the same table's product followed by its own elementwise kernels.
void expect_same(const KernelTable& table, const Shape3& shape, const Epilogue& epilogue, int n_threads) {
  SCOPED_TRACE(testing::Message() << shape.m << "x" << shape.n << "x" << shape.k << " activation "
                                  << static_cast<int>(epilogue.activation) << " slope " << epilogue.has_slope);
  ThreadPool pool(n_threads);
  const Floats a = random_floats(shape.m * shape.k, 1);
  const Floats b = random_floats(shape.k * shape.n, 2);
  const Floats bias = random_floats(shape.n, 3);
  const Floats slope_at = random_floats(shape.m * shape.n, 4);
  const int64_t size = shape.m * shape.n;
  const float scale = 1.0f / std::sqrt(static_cast<float>(shape.k));
  Floats small_a = a;
  for (float& value : small_a) value *= scale;
  for (const auto product : {table.matmul_f32, table.matmul_bf16}) {
    Floats expected(static_cast<size_t>(size));
    Matmul p{.m = shape.m,
             .n = shape.n,
             .k = shape.k,
             .a = small_a.data(),
             .lda = shape.k,
             .b = b.data(),
             .ldb = shape.n,
             .c = expected.data(),
             .ldc = shape.n,
             .bias = bias.data()};
    product(p, pool);
    const Floats argument = expected;
    if (epilogue.has_slope) {
      table.activate_grad(epilogue.activation, slope_at.data(), expected.data(), expected.data(), size);
    } else {
      table.activate(epilogue.activation, expected.data(), expected.data(), size);
    }
    double squares = 0;
    for (const float value : expected) squares += static_cast<double>(value) * value;

    Floats c(static_cast<size_t>(size), -7.0f);
    Floats kept(static_cast<size_t>(size), -7.0f);
    double sum = -1;
    p.c = c.data();
    p.activation = epilogue.activation;
    p.slope_at = epilogue.has_slope ? slope_at.data() : nullptr;
    p.argument = epilogue.keeps_argument ? kept.data() : nullptr;
    p.sum_of_squares = &sum;
    product(p, pool);
    for (int64_t i = 0; i < size; ++i) {
      const auto at = static_cast<size_t>(i);
      ASSERT_NEAR(c[at], expected[at], 1e-6 * (1 + std::fabs(expected[at]))) << i;
      if (!epilogue.keeps_argument) continue;
      ASSERT_EQ(kept[at], argument[at]) << i;
    }
    EXPECT_NEAR(sum, squares, 1e-9 * squares);
  }
}

TEST_P(MatmulEpilogue, IsTheStepsOneByOne) {
  const KernelTable& table = *GetParam();
  const bool slow = table.name == "reference";
  for (const Shape3& shape : {Shape3{1, 1, 3}, Shape3{17, 33, 40}, Shape3{40, 19, 5}, Shape3{6, 64, 500}}) {
    for (const auto kind :
         {Activation::kNone, Activation::kRelu, Activation::kTanh, Activation::kGelu, Activation::kGeluTanh}) {
      for (const bool has_slope : {false, true}) expect_same(table, shape, {kind, !has_slope, has_slope}, 1);
    }
  }
  if (slow) return;
  // Large and aligned, so that results may be written past the caches; deep, so that sums wait between steps.
  expect_same(table, {512, 528, 64}, {Activation::kGelu, true, false}, 2);
  expect_same(table, {300, 200, 900}, {Activation::kGelu, false, true}, 2);
}

TEST_P(MatmulEpilogue, SumOfSquaresHasTheSameBitsAtAnyNumberOfThreads) {
  const KernelTable& table = *GetParam();
  const Floats a = random_floats(200 * 70, 1);
  const Floats b = random_floats(70 * 190, 2);
  std::vector<double> sums;
  for (const int n_threads : {1, 2, 3}) {
    ThreadPool pool(n_threads);
    Floats c(200 * 190);
    double sum = -1;
    table.matmul_bf16({.m = 200,
                       .n = 190,
                       .k = 70,
                       .a = a.data(),
                       .lda = 70,
                       .b = b.data(),
                       .ldb = 190,
                       .c = c.data(),
                       .ldc = 190,
                       .sum_of_squares = &sum},
                      pool);
    sums.push_back(sum);
  }
  EXPECT_GT(sums[0], 0);
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_EQ(sums[0], sums[2]);
}

TEST_P(MatmulEpilogue, OfNothingHasNoSquares) {
  ThreadPool pool(1);
  double sum = -1;
  GetParam()->matmul_bf16({.m = 0, .n = 4, .k = 4, .sum_of_squares = &sum}, pool);
  EXPECT_EQ(sum, 0);
}

INSTANTIATE_TEST_SUITE_P(Tables, MatmulEpilogue,
                         testing::ValuesIn(supported_tables().begin(), supported_tables().end()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace fettle
