// Packed linears of every table against plain loops written here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "base/thread_pool.h"
#include "kernels/dispatch.h"
#include "tensor/dtype.h"

namespace fettle {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kUntouched = 12345.0f;  // fills what a product must not write

struct Shape {
  int64_t rows = 1;
  int64_t in = 1;
  int64_t out = 1;
};

std::vector<float> random_floats(int64_t n, uint64_t stream, float scale = 1) {
  Philox random(7, stream);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = scale * random.normal();
  return values;
}

std::vector<int8_t> random_int8(int64_t n, uint64_t stream) {
  Philox random(8, stream);
  std::vector<int8_t> values(static_cast<size_t>(n));
  for (int8_t& value : values) value = static_cast<int8_t>(static_cast<int>(random.below(256)) - 128);
  return values;
}

// One product and its operands; rows are strided.
struct Problem {
  explicit Problem(Shape s)
      : shape(s),
        ldx(s.in + 3),
        ldy(s.out + 5),
        x(random_floats(s.rows * ldx, 1)),
        weight(random_int8(s.out * s.in, 2)),
        scales(random_floats(s.out, 3, 0.01f)),
        bias(random_floats(s.out, 4)),
        residual(random_floats(s.rows * ldy, 5)) {
    for (float& scale : scales) scale = std::fabs(scale) + 1e-4f;
  }

  LinearWeights int8_weights() const {
    return {.out_features = shape.out,
            .in_features = shape.in,
            .weight = weight.data(),
            .scales = scales.data(),
            .bias = with_bias ? bias.data() : nullptr};
  }
  LinearWeights weights(const void* data) const {
    return {
        .out_features = shape.out, .in_features = shape.in, .weight = data, .bias = with_bias ? bias.data() : nullptr};
  }
  std::vector<float> run(const PackedLinear& linear, ThreadPool& pool) const {
    std::vector<float> y(static_cast<size_t>(shape.rows * ldy), kUntouched);
    linear.run(x.data(), ldx, shape.rows, y.data(), ldy, activation, with_residual ? residual.data() : nullptr, pool);
    return y;
  }
  float bias_of(int64_t o) const { return with_bias ? bias[static_cast<size_t>(o)] : 0.0f; }

  Shape shape;
  int64_t ldx;
  int64_t ldy;
  std::vector<float> x;
  std::vector<int8_t> weight;
  std::vector<float> scales;
  std::vector<float> bias;
  std::vector<float> residual;
  bool with_bias = true;
  bool with_residual = false;
  Activation activation = Activation::kNone;
};

// The int8 product by its definition, without activation.
std::vector<float> expected_int8(const Problem& p) {
  std::vector<float> y(static_cast<size_t>(p.shape.rows * p.ldy), kUntouched);
  for (int64_t r = 0; r < p.shape.rows; ++r) {
    const float* x = p.x.data() + r * p.ldx;
    float absmax = 0;
    bool finite = true;
    for (int64_t i = 0; i < p.shape.in; ++i) {
      finite = finite && std::isfinite(x[i]);
      absmax = std::max(absmax, std::fabs(x[i]));
    }
    const bool zero = absmax < 1e-36f;
    const float row_scale = !finite ? kNan : zero ? 0 : absmax / 127.0f;
    for (int64_t o = 0; o < p.shape.out; ++o) {
      int64_t sum = 0;
      for (int64_t i = 0; finite && !zero && i < p.shape.in; ++i) {
        sum += std::lrint(x[i] * (127.0f / absmax)) * p.weight[static_cast<size_t>(o * p.shape.in + i)];
      }
      const float scale = row_scale * p.scales[static_cast<size_t>(o)];
      const float value = static_cast<float>(sum) * scale;
      float& to = y[static_cast<size_t>(r * p.ldy + o)];
      to = value + p.bias_of(o);
      if (p.with_residual) to = to + p.residual[static_cast<size_t>(r * p.ldy + o)];
    }
  }
  return y;
}

std::vector<uint32_t> bits(const std::vector<float>& values) {
  std::vector<uint32_t> result;
  for (float value : values) result.push_back(std::isnan(value) ? 0x7fc00000u : std::bit_cast<uint32_t>(value));
  return result;
}

std::string name(const KernelTable& table, const Problem& p) {
  return std::string(table.name) + " rows " + std::to_string(p.shape.rows) + " in " + std::to_string(p.shape.in) +
         " out " + std::to_string(p.shape.out);
}

void check_int8(const Problem& p, ThreadPool& pool) {
  const std::vector<uint32_t> expected = bits(expected_int8(p));
  for (const KernelTable* table : supported_tables()) {
    const auto linear = table->pack_int8(p.int8_weights());
    ASSERT_EQ(bits(p.run(*linear, pool)), expected) << name(*table, p) << " threads " << pool.n_threads();
  }
}

TEST(PackedInt8, ExactForEveryNumberOfRows) {
  ThreadPool pool(1);
  for (int64_t rows = 1; rows <= 70; ++rows) check_int8(Problem({rows, 97, 203}), pool);
}

TEST(PackedInt8, ExactForOddShapes) {
  ThreadPool pool(1);
  for (int64_t in : {1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129, 191, 257, 300}) {
    for (int64_t out : {1, 5, 16, 17, 95, 96, 97, 111, 193}) {
      for (int64_t rows : {1, 5, 13, 33}) check_int8(Problem({rows, in, out}), pool);
    }
  }
}

TEST(PackedInt8, ExactAtAnyNumberOfThreads) {
  for (int n_threads : {1, 2, 3}) {
    ThreadPool pool(n_threads);
    for (const Shape shape : {Shape{40, 300, 301}, Shape{16, 768, 768}, Shape{7, 1030, 515}, Shape{97, 64, 1111}}) {
      check_int8(Problem(shape), pool);
    }
  }
}

TEST(PackedInt8, ExactForMoreRowsThanOnePassTakes) {
  ThreadPool pool(2);
  check_int8(Problem({4500, 300, 19}), pool);
}

TEST(PackedInt8, BiasAndResidualAreOptional) {
  ThreadPool pool(1);
  for (bool with_bias : {false, true}) {
    for (bool with_residual : {false, true}) {
      Problem p({19, 70, 110});
      p.with_bias = with_bias;
      p.with_residual = with_residual;
      check_int8(p, pool);
    }
  }
}

TEST(PackedInt8, ResidualMayBeTheOutput) {
  ThreadPool pool(1);
  Problem p({19, 70, 110});
  p.with_residual = true;
  const std::vector<float> expected = expected_int8(p);
  for (const KernelTable* table : supported_tables()) {
    std::vector<float> y = p.residual;
    const auto linear = table->pack_int8(p.int8_weights());
    linear->run(p.x.data(), p.ldx, p.shape.rows, y.data(), p.ldy, Activation::kNone, y.data(), pool);
    for (int64_t r = 0; r < p.shape.rows; ++r) {
      for (int64_t o = 0; o < p.shape.out; ++o) {
        const auto at = static_cast<size_t>(r * p.ldy + o);
        ASSERT_EQ(y[at], expected[at]) << name(*table, p);
      }
    }
  }
}

TEST(PackedInt8, ExactAtTheExtremes) {
  ThreadPool pool(1);
  for (int weight : {-128, -127, 127}) {
    for (float x : {-3.0f, 3.0f}) {
      Problem p({17, 1000, 33});
      std::fill(p.weight.begin(), p.weight.end(), static_cast<int8_t>(weight));
      std::fill(p.x.begin(), p.x.end(), x);
      check_int8(p, pool);
    }
  }
}

TEST(PackedInt8, ZeroTinyAndHugeRows) {
  ThreadPool pool(1);
  Problem p({6, 70, 40});
  const float magnitudes[] = {0, 1e-45f, 1e-37f, 2e-36f, 1e30f, 3e38f};
  for (int64_t r = 0; r < 6; ++r) {
    for (int64_t i = 0; i < 70; ++i) p.x[static_cast<size_t>(r * p.ldx + i)] = (i % 3 - 1) * magnitudes[r];
  }
  check_int8(p, pool);
}

TEST(PackedInt8, RowsThatAreNotFiniteGiveNan) {
  ThreadPool pool(1);
  for (float bad : {kNan, -kNan, kInf, -kInf}) {
    Problem p({20, 70, 40});
    p.x[static_cast<size_t>(3 * p.ldx + 69)] = bad;
    p.x[static_cast<size_t>(17 * p.ldx)] = bad;
    check_int8(p, pool);
    const auto linear = best_table().pack_int8(p.int8_weights());
    const std::vector<float> y = p.run(*linear, pool);
    EXPECT_TRUE(std::isnan(y[static_cast<size_t>(3 * p.ldy)]));
    EXPECT_TRUE(std::isnan(y[static_cast<size_t>(17 * p.ldy + 39)]));
    EXPECT_TRUE(std::isfinite(y[static_cast<size_t>(4 * p.ldy)]));
  }
}

TEST(PackedInt8, NoRowsNoInputsNoOutputs) {
  ThreadPool pool(2);
  check_int8(Problem({0, 8, 8}), pool);
  check_int8(Problem({5, 0, 8}), pool);
  check_int8(Problem({5, 8, 0}), pool);
}

// Float products, element by element within tolerance · Σ |x w| of sums in double.
void check_float(const Problem& p, const std::vector<float>& weight, const std::vector<float>& y, double tolerance,
                 const std::string& what) {
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

const Shape kFloatShapes[] = {{1, 1, 1},     {2, 17, 31},  {3, 64, 96}, {4, 100, 97},  {5, 33, 200},  {6, 15, 16},
                              {7, 129, 111}, {8, 70, 65},  {9, 31, 40}, {11, 40, 193}, {12, 300, 50}, {13, 50, 97},
                              {16, 96, 96},  {17, 65, 33}, {31, 7, 19}, {33, 33, 95},  {70, 80, 101}, {64, 300, 211}};

TEST(PackedF32, AgreesWithDoubleSums) {
  ThreadPool pool(2);
  for (const Shape& shape : kFloatShapes) {
    const Problem p(shape);
    const std::vector<float> weight = random_floats(shape.out * shape.in, 6);
    for (const KernelTable* table : supported_tables()) {
      const auto linear = table->pack_f32(p.weights(weight.data()));
      check_float(p, weight, p.run(*linear, pool), 2e-6, name(*table, p));
    }
  }
}

TEST(PackedBf16, AgreesWithDoubleSums) {
  ThreadPool pool(2);
  for (const Shape& shape : kFloatShapes) {
    const Problem p(shape);
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
  const Problem p({37, 500, 301});
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
  const Problem p({29, 130, 97});
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
  Problem p({20, 70, 40});
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
      Problem p({18, 40, 130});
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
  const Problem p({1, 768, 768});
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
