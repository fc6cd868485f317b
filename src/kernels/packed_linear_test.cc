// Float products of every table against sums in double, and what holds for packed linears of every encoding.
#include "kernels/packed_linear_test.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "tensor/dtype.h"

namespace fettle {
namespace {

// Float products, element by element within tolerance · Σ |x w| of sums in double.
void check_float(const LinearProblem& p, const std::vector<float>& weight, const std::vector<float>& y,
                 double tolerance, const std::string& what) {
  for (int64_t r = 0; r < p.shape.rows; ++r) {
    for (int64_t o = 0; o < p.ldy; ++o) {
      const float actual = y[static_cast<size_t>(r * p.ldy + o)];
      if (o >= p.shape.out) {
        ASSERT_EQ(actual, kUntouched) << what;
        continue;
      }
      double sum = 0;
      double magnitude = 1e-6;
      for (int64_t i = 0; i < p.shape.in; ++i) {
        const double term =
            double{p.x[static_cast<size_t>(r * p.ldx + i)]} * weight[static_cast<size_t>(o * p.shape.in + i)];
        sum += term;
        magnitude += std::fabs(term);
      }
      sum += p.bias_of(o);
      magnitude += std::fabs(p.bias_of(o));
      ASSERT_NEAR(actual, sum, tolerance * magnitude) << what << " row " << r << " column " << o;
    }
  }
}

const LinearShape kFloatShapes[] = {{1, 1, 1},     {2, 17, 31},   {3, 64, 96},   {4, 100, 97}, {5, 33, 200},
                                    {6, 15, 16},   {7, 129, 111}, {8, 70, 65},   {9, 31, 40},  {11, 40, 193},
                                    {12, 300, 50}, {13, 50, 97},  {16, 96, 96},  {17, 65, 33}, {31, 7, 19},
                                    {33, 33, 95},  {70, 80, 101}, {64, 300, 211}};

TEST(PackedF32, AgreesWithDoubleSums) {
  ThreadPool pool(2);
  for (const LinearShape& shape : kFloatShapes) {
    const LinearProblem p(shape);
    const std::vector<float> weight = random_floats(shape.out * shape.in, 6);
    for (const KernelTable* table : supported_tables()) {
      const auto linear = table->pack_f32(p.weights(weight.data()));
      check_float(p, weight, p.run(*linear, pool), 2e-6, name(*table, p));
    }
  }
}

TEST(PackedBf16, AgreesWithDoubleSums) {
  ThreadPool pool(2);
  for (const LinearShape& shape : kFloatShapes) {
    const LinearProblem p(shape);
    std::vector<float> weight = random_floats(shape.out * shape.in, 6);
    std::vector<uint16_t> stored;
    for (float& value : weight) {
      stored.push_back(f32_to_bf16(value));
      value = bf16_to_f32(stored.back());
    }
    for (const KernelTable* table : supported_tables()) {
      const auto linear = table->pack_bf16(p.weights(stored.data()));
      // AMX rounds the inputs to bf16 too.
      const double tolerance = table->name == "amx" ? 1.0 / 256 : 2e-6;
      check_float(p, weight, p.run(*linear, pool), tolerance, name(*table, p));
    }
  }
}

TEST(PackedFloat, SameBitsAtAnyNumberOfThreads) {
  const LinearProblem p({37, 500, 301});
  const std::vector<float> weight = random_floats(p.shape.out * p.shape.in, 6);
  std::vector<uint16_t> stored;
  for (float value : weight) stored.push_back(f32_to_bf16(value));
  for (const KernelTable* table : supported_tables()) {
    ThreadPool one(1);
    const auto f32 = table->pack_f32(p.weights(weight.data()));
    const auto bf16 = table->pack_bf16(p.weights(stored.data()));
    const auto f32_bits = bits(p.run(*f32, one));
    const auto bf16_bits = bits(p.run(*bf16, one));
    for (int n_threads : {2, 3}) {
      ThreadPool pool(n_threads);
      EXPECT_EQ(bits(p.run(*f32, pool)), f32_bits) << table->name;
      EXPECT_EQ(bits(p.run(*bf16, pool)), bf16_bits) << table->name;
    }
  }
}

// A row's result must not depend on the rows beside it: a batch gives what its queries give one by one.
TEST(PackedFloat, SameBitsInAnyCompany) {
  const LinearProblem p({29, 130, 97});
  const std::vector<float> weight = random_floats(p.shape.out * p.shape.in, 6);
  ThreadPool pool(1);
  for (const KernelTable* table : supported_tables()) {
    const auto linear = table->pack_f32(p.weights(weight.data()));
    const std::vector<float> all = p.run(*linear, pool);
    for (int64_t r = 0; r < p.shape.rows; ++r) {
      std::vector<float> y(static_cast<size_t>(p.ldy), kUntouched);
      linear->run(p.x.data() + r * p.ldx, p.ldx, 1, y.data(), p.ldy, Activation::kNone, nullptr, pool);
      ASSERT_TRUE(std::equal(y.begin(), y.begin() + p.shape.out, all.begin() + r * p.ldy)) << table->name;
    }
  }
}

TEST(PackedFloat, NanAndInfinityPassThrough) {
  ThreadPool pool(1);
  LinearProblem p({20, 70, 40});
  p.x[static_cast<size_t>(3 * p.ldx + 5)] = kNan;
  p.x[static_cast<size_t>(7 * p.ldx + 5)] = kInf;
  const std::vector<float> weight = random_floats(p.shape.out * p.shape.in, 6);
  for (const KernelTable* table : supported_tables()) {
    const std::vector<float> y = p.run(*table->pack_f32(p.weights(weight.data())), pool);
    EXPECT_TRUE(std::isnan(y[static_cast<size_t>(3 * p.ldy)])) << table->name;
    EXPECT_TRUE(std::isinf(y[static_cast<size_t>(7 * p.ldy)])) << table->name;
    EXPECT_TRUE(std::isfinite(y[static_cast<size_t>(8 * p.ldy)])) << table->name;
  }
}

double activated(Activation kind, double x) {
  constexpr double kRoot2OverPi = 0.7978845608028654;
  switch (kind) {
    case Activation::kNone:
      return x;
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kGelu:
      return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5)));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(kRoot2OverPi * (x + 0.044715 * x * x * x)));
  }
  return x;
}

TEST(PackedLinear, ActivationComesBeforeTheResidual) {
  ThreadPool pool(1);
  for (const Activation kind : {Activation::kRelu, Activation::kTanh, Activation::kGelu, Activation::kGeluTanh}) {
    for (bool with_residual : {false, true}) {
      LinearProblem p({18, 40, 130});
      const std::vector<float> plain = expected_int8(p);
      p.activation = kind;
      p.with_residual = with_residual;
      for (const KernelTable* table : supported_tables()) {
        const std::vector<float> y = p.run(*table->pack_int8(p.int8_weights()), pool);
        for (size_t i = 0; i < y.size(); ++i) {
          if (static_cast<int64_t>(i) % p.ldy >= p.shape.out) continue;
          const double expected = activated(kind, plain[i]) + (with_residual ? p.residual[i] : 0.0f);
          ASSERT_NEAR(y[i], expected, 2e-6 * (1 + std::fabs(expected))) << name(*table, p);
        }
      }
    }
  }
}

TEST(PackedLinear, SizeIsThatOfTheWeights) {
  const LinearProblem p({1, 768, 768});
  const std::vector<float> weight = random_floats(p.shape.out * p.shape.in, 6);
  for (const KernelTable* table : supported_tables()) {
    const int64_t n = p.shape.out * p.shape.in;
    const int64_t int8_bytes = table->pack_int8(p.int8_weights())->size_bytes();
    const int64_t bf16_bytes = table->pack_bf16(p.weights(weight.data()))->size_bytes();
    const int64_t f32_bytes = table->pack_f32(p.weights(weight.data()))->size_bytes();
    EXPECT_THAT(int8_bytes, testing::AllOf(testing::Ge(n), testing::Le(n * 11 / 10))) << table->name;
    EXPECT_THAT(bf16_bytes, testing::AllOf(testing::Ge(2 * n), testing::Le(2 * n * 11 / 10))) << table->name;
    EXPECT_THAT(f32_bytes, testing::AllOf(testing::Ge(4 * n), testing::Le(4 * n * 11 / 10))) << table->name;
  }
}

TEST(PackedLinear, RefusesWhatCannotBe) {
  const int8_t weight[4] = {1, 2, 3, 4};
  const float scales[2] = {1, 1};
  for (const KernelTable* table : supported_tables()) {
    EXPECT_THROW(table->pack_int8({.out_features = 2, .in_features = -1, .weight = weight, .scales = scales}), Error);
    EXPECT_THROW(table->pack_int8({.out_features = 2, .in_features = 2, .scales = scales}), Error);
    EXPECT_THROW(table->pack_int8({.out_features = 2, .in_features = 2, .weight = weight}), Error);
    EXPECT_THROW(table->pack_int8({.out_features = 1, .in_features = 1 << 20, .weight = weight, .scales = scales}),
                 Error);
    EXPECT_THROW(table->pack_f32({.out_features = int64_t{1} << 40, .in_features = int64_t{1} << 40, .weight = weight}),
                 Error);
    EXPECT_THROW(table->pack_bf16({.out_features = 2, .in_features = 2}), Error);
  }
}

}  // namespace
}  // namespace fettle
