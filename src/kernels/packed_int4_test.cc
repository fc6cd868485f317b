// Products with 4-bit weights of every table.
#include "kernels/packed_int4.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "kernels/dispatch.h"

namespace fettle {
namespace {

struct Problem {
  int64_t rows, out, in, group;
  std::vector<uint8_t> values;
  std::vector<float> scales, bias, x;

  Problem(int64_t n_rows, int64_t n_out, int64_t n_in, int64_t group_size)
      : rows(n_rows), out(n_out), in(n_in), group(group_size) {
    Philox random(7);
    values.resize(static_cast<size_t>(out * ((in + 1) / 2)));
    for (uint8_t& pair : values) pair = static_cast<uint8_t>(random.below(256));
    scales.resize(static_cast<size_t>(out * ((in + group - 1) / group)));
    for (float& scale : scales) scale = 0.01f * static_cast<float>(random.below(100));
    for (int64_t i = 0; i < out; ++i) bias.push_back(static_cast<float>(random.normal()));
    for (int64_t i = 0; i < rows * in; ++i) x.push_back(static_cast<float>(random.normal()));
  }
  Int4Weights weights() const {
    return {.out_features = out,
            .in_features = in,
            .group_size = group,
            .values = values.data(),
            .scales = scales.data(),
            .bias = bias.data()};
  }
  std::vector<float> run(const PackedLinear& linear, Activation activation, int n_threads = 1) const {
    ThreadPool pool(n_threads);
    std::vector<float> y(static_cast<size_t>(rows * out), NAN);
    linear.run(x.data(), in, rows, y.data(), out, activation, nullptr, pool);
    return y;
  }
};

TEST(PackedInt4, IsTheProductWithTheUnpackedWeights) {
  for (const int64_t rows : {1, 2, 12, 16, 17, 33, 70}) {
    for (const int64_t group : {8, 32, 64, 128}) {
      for (const auto& [out, in] : std::vector<std::pair<int64_t, int64_t>>{{96, 64}, {200, 130}, {7, 5}, {40, 1000}}) {
        const Problem p(rows, out, in, group);
        for (const KernelTable* table : supported_tables()) {
          const auto unpacked = unpack_as_int8(p.weights(), table->pack_int8);
          const auto rounded = unpack_as_bf16(p.weights(), table->pack_bf16);
          for (const Activation activation : {Activation::kNone, Activation::kRelu}) {
            const auto what = testing::Message() << table->name << " " << rows << " rows, " << out << " x " << in
                                                 << ", groups of " << group;
            EXPECT_EQ(p.run(*table->pack_int4(p.weights()), activation), p.run(*unpacked, activation)) << what;
            EXPECT_EQ(p.run(*table->pack_int4_bf16(p.weights()), activation), p.run(*rounded, activation)) << what;
          }
        }
      }
    }
  }
}

TEST(PackedInt4, IsCloseToThePlainProduct) {
  const Problem p(9, 150, 300, 32);
  double square = 0;
  std::vector<double> expected;
  for (int64_t r = 0; r < p.rows; ++r) {
    for (int64_t o = 0; o < p.out; ++o) {
      double sum = p.bias[static_cast<size_t>(o)];
      for (int64_t k = 0; k < p.in; ++k) {
        sum += double{p.x[static_cast<size_t>(r * p.in + k)]} * int4_value(p.weights(), o, k) *
               p.scales[static_cast<size_t>(o * ((p.in + p.group - 1) / p.group) + k / p.group)];
      }
      expected.push_back(sum);
      square += sum * sum;
    }
  }
  const double typical = std::sqrt(square / static_cast<double>(expected.size()));
  for (const KernelTable* table : supported_tables()) {
    const std::vector<float> by_int8 = p.run(*table->pack_int4(p.weights()), Activation::kNone);
    const std::vector<float> by_bf16 = p.run(*table->pack_int4_bf16(p.weights()), Activation::kNone);
    double int8_error = 0;
    double bf16_error = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      int8_error += (by_int8[i] - expected[i]) * (by_int8[i] - expected[i]);
      bf16_error += (by_bf16[i] - expected[i]) * (by_bf16[i] - expected[i]);
    }
    EXPECT_LE(std::sqrt(int8_error / static_cast<double>(expected.size())), 0.02 * typical) << table->name;
    EXPECT_LE(std::sqrt(bf16_error / static_cast<double>(expected.size())), 0.004 * typical) << table->name;
  }
}

TEST(PackedInt4, HasTheSameBitsOnTwoThreads) {
  const Problem p(12, 700, 768, 32);
  for (const KernelTable* table : supported_tables()) {
    const auto linear = table->pack_int4(p.weights());
    EXPECT_EQ(p.run(*linear, Activation::kGelu), p.run(*linear, Activation::kGelu, 2)) << table->name;
  }
}

TEST(PackedInt4, MultiplesOfTheLargestScale) {
  const uint8_t values[8] = {};
  const float scales[4] = {1.0f, 0.5f, 0.0f, 0.0f};
  const Int4Codes codes =
      int4_codes({.out_features = 2, .in_features = 16, .group_size = 8, .values = values, .scales = scales});
  EXPECT_EQ(codes.multiples, (std::vector<uint8_t>{127, 64, 0, 0}));
  EXPECT_FLOAT_EQ(codes.scales[0], 8.0f / 127);
  EXPECT_EQ(codes.scales[1], 0);
  EXPECT_EQ(int4_as_int8(-8, 127), -127);
  EXPECT_EQ(int4_as_int8(7, 127), 111);
}

TEST(PackedInt4, RefusesWhatCannotBe) {
  const Problem p(1, 4, 16, 8);
  for (const KernelTable* table : supported_tables()) {
    Int4Weights weights = p.weights();
    weights.group_size = 12;
    EXPECT_THROW(table->pack_int4(weights), Error) << table->name;
    weights.group_size = 0;
    EXPECT_THROW(table->pack_int4_bf16(weights), Error) << table->name;
    weights = p.weights();
    weights.values = nullptr;
    EXPECT_THROW(table->pack_int4(weights), Error) << table->name;
    weights = p.weights();
    weights.in_features = -1;
    EXPECT_THROW(table->pack_int4(weights), Error) << table->name;
  }
}

}  // namespace
}  // namespace fettle
