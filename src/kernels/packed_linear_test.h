// What the tests of packed linears share: a product with its operands, and the int8 product by its definition.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/philox.h"
#include "base/thread_pool.h"
#include "kernels/dispatch.h"

namespace fettle {

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr float kUntouched = 12345.0f;  // fills what a product must not write

struct LinearShape {
  int64_t rows = 1;
  int64_t in = 1;
  int64_t out = 1;
};

inline std::vector<float> random_floats(int64_t n, uint64_t stream, float scale = 1) {
  Philox random(7, stream);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = scale * random.normal();
  return values;
}

inline std::vector<int8_t> random_int8(int64_t n, uint64_t stream) {
  Philox random(8, stream);
  std::vector<int8_t> values(static_cast<size_t>(n));
  for (int8_t& value : values) value = static_cast<int8_t>(static_cast<int>(random.below(256)) - 128);
  return values;
}

// One product and its operands; rows are strided.
struct LinearProblem {
  explicit LinearProblem(LinearShape s)
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
            .bias = with_bias ? bias.data() : nullptr,
            .input_scale = input_scale};
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

  LinearShape shape;
  int64_t ldx;
  int64_t ldy;
  std::vector<float> x;
  std::vector<int8_t> weight;
  std::vector<float> scales;
  std::vector<float> bias;
  std::vector<float> residual;
  float input_scale = 0;  // of all rows; 0: each its own
  bool with_bias = true;
  bool with_residual = false;
  Activation activation = Activation::kNone;
};

// The int8 product by its definition, without activation.
inline std::vector<float> expected_int8(const LinearProblem& p) {
  std::vector<float> y(static_cast<size_t>(p.shape.rows * p.ldy), kUntouched);
  for (int64_t r = 0; r < p.shape.rows; ++r) {
    const float* x = p.x.data() + r * p.ldx;
    float absmax = 0;
    bool finite = true;
    for (int64_t i = 0; i < p.shape.in; ++i) {
      finite = finite && std::isfinite(x[i]);
      absmax = std::max(absmax, std::fabs(x[i]));
    }
    const bool is_given = p.input_scale > 0;
    const bool zero = !is_given && absmax < 1e-36f;
    const float factor = is_given ? 1.0f / p.input_scale : 127.0f / absmax;
    const float row_scale = !finite ? kNan : is_given ? p.input_scale : zero ? 0 : absmax / 127.0f;
    for (int64_t o = 0; o < p.shape.out; ++o) {
      int64_t sum = 0;
      for (int64_t i = 0; finite && !zero && i < p.shape.in; ++i) {
        const float cut = std::min(std::max(x[i] * factor, -127.0f), 127.0f);
        sum += std::lrint(cut) * p.weight[static_cast<size_t>(o * p.shape.in + i)];
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

inline std::vector<uint32_t> bits(const std::vector<float>& values) {
  std::vector<uint32_t> result;
  for (float value : values) result.push_back(std::isnan(value) ? 0x7fc00000u : std::bit_cast<uint32_t>(value));
  return result;
}

inline std::string name(const KernelTable& table, const LinearProblem& p) {
  return std::string(table.name) + " rows " + std::to_string(p.shape.rows) + " in " + std::to_string(p.shape.in) +
         " out " + std::to_string(p.shape.out);
}

}  // namespace fettle
