// GPTQ and learned rounding of one weight: against numpy, against nearest, at any number of threads.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "base/philox.h"
#include "base/python_oracle.h"
#include "base/scratch_folder.h"
#include "compress/quantize/gptq.h"
#include "compress/quantize/learned_rounding.h"
#include "kernels/dispatch.h"

namespace fettle {
namespace {

Tensor random_matrix(int64_t rows, int64_t cols, float scale, uint64_t seed) {
  Philox random(seed);
  Tensor matrix(DType::kF32, {rows, cols});
  for (int64_t i = 0; i < matrix.size(); ++i) matrix.mutable_data<float>()[i] = scale * random.normal();
  return matrix;
}

// Σ x xᵀ of inputs that depend on each other, some of them larger.
Tensor moment_of(int64_t cols, int64_t n, uint64_t seed) {
  const Tensor mix = random_matrix(cols, cols, 0.3f, seed);
  const Tensor raw = random_matrix(n, cols, 1, seed + 1);
  Tensor moment(DType::kF32, {cols, cols});
  std::vector<double> x(static_cast<size_t>(cols));
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      double sum = double{raw.data<float>()[r * cols + c]} * (c % 7 == 0 ? 4 : 1);
      for (int64_t k = 0; k < cols; ++k) {
        sum += double{mix.data<float>()[c * cols + k]} * double{raw.data<float>()[r * cols + k]};
      }
      x[static_cast<size_t>(c)] = sum;
    }
    for (int64_t a = 0; a < cols; ++a) {
      for (int64_t b = 0; b < cols; ++b) {
        moment.mutable_data<float>()[a * cols + b] +=
            static_cast<float>(x[static_cast<size_t>(a)] * x[static_cast<size_t>(b)]);
      }
    }
  }
  return moment;
}

struct Case {
  int64_t rows, cols;
  Encoding encoding;
};

std::vector<Case> cases() {
  return {{5, 24, Encoding::int4_group(8, 16)},
          {17, 300, Encoding::int4_group(128, 16)},
          {3, 64, Encoding::int4_group(32, 8)},
          {33, 40, Encoding::int8_channel()}};
}

RoundingProblem problem_of(const Case& c) {
  return RoundingProblem::of(random_matrix(c.rows, c.cols, 0.5f, 3), moment_of(c.cols, 2 * c.cols + 20, 4), c.encoding);
}

void write_tensor(const std::filesystem::path& path, const Tensor& tensor) {
  write_file(path, {static_cast<const char*>(tensor.raw()), static_cast<size_t>(tensor.size_bytes())});
}

Tensor numpy_gptq(const RoundingProblem& problem, const GptqOptions& options) {
  const ScratchFolder scratch;
  const IntRange range = int_range(problem.encoding);
  const int64_t group = problem.encoding.group_size > 0 ? problem.encoding.group_size : problem.cols();
  write_tensor(scratch / "weight", problem.weight);
  write_tensor(scratch / "moment", problem.moment);
  write_tensor(scratch / "scales", problem.grid.scales);
  write_tensor(scratch / "zeros",
               problem.grid.zeros.defined() ? problem.grid.zeros : Tensor(DType::kU8, problem.grid.scales.shape()));
  std::string arguments = std::to_string(problem.rows()) + " " + std::to_string(problem.cols()) + " " +
                          std::to_string(group) + " " + std::to_string(range.lowest) + " " +
                          std::to_string(range.highest) + " " + std::to_string(options.damping) +
                          (options.act_order ? " 1" : " 0");
  for (const char* name : {"weight", "moment", "scales", "zeros", "integers"}) {
    arguments += " '" + (scratch / name).string() + "'";
  }
  const PythonResult result = run_oracle("gptq.py", arguments);
  EXPECT_EQ(result.status, 0) << result.output;
  const std::string bytes = read_file(scratch / "integers");
  Tensor integers(DType::kI32, problem.weight.shape());
  EXPECT_EQ(static_cast<int64_t>(bytes.size()), integers.size_bytes());
  std::memcpy(integers.raw_mutable(), bytes.data(), std::min(bytes.size(), static_cast<size_t>(integers.size_bytes())));
  return integers;
}

TEST(Gptq, IsNumpys) {
  if (!python_has("numpy")) GTEST_SKIP() << "needs numpy";
  ThreadPool pool(1);
  for (const Case& c : cases()) {
    for (const bool act_order : {false, true}) {
      const RoundingProblem problem = problem_of(c);
      const GptqOptions options{.block = 16, .act_order = act_order};
      const GptqIntegers ours = gptq_integers(problem, options, pool);
      const Tensor theirs = numpy_gptq(problem, options);
      EXPECT_EQ(ours.damping, options.damping);
      int64_t n_other = 0;
      for (int64_t i = 0; i < theirs.size(); ++i) {
        if (ours.values.data<int32_t>()[i] != theirs.data<int32_t>()[i]) ++n_other;
      }
      EXPECT_EQ(n_other, 0) << encoding_name(c.encoding) << " " << c.cols << " act-order " << act_order;
    }
  }
}

int64_t difference(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.size_bytes()));
}

class EveryMethod : public testing::TestWithParam<const char*> {
 protected:
  static RoundedWeight round(const RoundingProblem& problem, ThreadPool& pool, const std::string& method) {
    const RoundingMachine machine{pool, best_table()};
    if (method == "gptq") return round_by_gptq(problem, {}, machine);
    if (method == "act-order") return round_by_gptq(problem, {.act_order = true}, machine);
    return learn_rounding(problem, {.iterations = 200, .sweeps = method == "adaround" ? 0 : 10}, machine);
  }
};

// |Wx - W'x| / |Wx| from what was stored.
double output_error(const RoundingProblem& problem, const EncodedTensor& encoded) {
  const Tensor decoded = encoded.decode();
  const int64_t n = problem.cols();
  double lost = 0;
  double whole = 0;
  for (int64_t r = 0; r < problem.rows(); ++r) {
    for (int64_t a = 0; a < n; ++a) {
      for (int64_t b = 0; b < n; ++b) {
        const double m = double{problem.moment.data<float>()[a * n + b]};
        const auto w = [&](int64_t c) { return double{problem.weight.data<float>()[r * n + c]}; };
        const auto e = [&](int64_t c) { return w(c) - double{decoded.data<float>()[r * n + c]}; };
        lost += e(a) * m * e(b);
        whole += w(a) * m * w(b);
      }
    }
  }
  return std::sqrt(lost / whole);
}

TEST_P(EveryMethod, LosesLessThanNearest) {
  ThreadPool pool(1);
  for (const Case& c : cases()) {
    const RoundingProblem problem = problem_of(c);
    const RoundedWeight rounded = round(problem, pool, GetParam());
    const double nearest = output_error(problem, encode(problem.weight, c.encoding));
    EXPECT_NEAR(rounded.nearest_error, nearest, 1e-4 * nearest);
    EXPECT_NEAR(rounded.error, output_error(problem, rounded.encoded), 1e-4 * nearest);
    // AdaRound by so few steps gains little by itself.
    const double most = std::string(GetParam()) == "adaround" ? 0.97 : 0.85;
    EXPECT_LT(rounded.error, most * nearest) << GetParam() << " " << encoding_name(c.encoding) << " " << c.cols;
    EXPECT_EQ(rounded.encoded.encoding, c.encoding);
  }
}

TEST_P(EveryMethod, SameBytesAtAnyNumberOfThreads) {
  ThreadPool one(1);
  ThreadPool three(3);
  const RoundingProblem problem = problem_of({50, 130, Encoding::int4_group(32, 16)});
  const EncodedTensor a = round(problem, one, GetParam()).encoded;
  const EncodedTensor b = round(problem, three, GetParam()).encoded;
  EXPECT_EQ(difference(a.data, b.data), 0);
  EXPECT_EQ(difference(a.scales, b.scales), 0);
}

// Fewer texts than inputs, inputs that are always zero, no inputs at all: no method fails.
TEST_P(EveryMethod, TakesMomentsWithoutFullRank) {
  ThreadPool pool(1);
  for (const int64_t n : {0, 1, 10}) {
    Tensor moment = moment_of(64, n, 8);
    for (int64_t i = 0; i < 64; ++i) {
      for (const int64_t dead : {0, 17, 63}) {
        moment.mutable_data<float>()[i * 64 + dead] = 0;
        moment.mutable_data<float>()[dead * 64 + i] = 0;
      }
    }
    const RoundingProblem problem =
        RoundingProblem::of(random_matrix(6, 64, 0.5f, 9), moment, Encoding::int4_group(32, 16));
    const RoundedWeight rounded = round(problem, pool, GetParam());
    EXPECT_LE(rounded.error, rounded.nearest_error * (1 + 1e-6)) << n;
    const Tensor decoded = rounded.encoded.decode();
    for (const float value : decoded.floats()) EXPECT_TRUE(std::isfinite(value));
  }
}

TEST_P(EveryMethod, KeepsWeightsOfZeros) {
  ThreadPool pool(1);
  const RoundingProblem problem =
      RoundingProblem::of(Tensor(DType::kF32, {4, 32}), moment_of(32, 60, 2), Encoding::int4_group(32, 16));
  const Tensor decoded = round(problem, pool, GetParam()).encoded.decode();
  for (const float value : decoded.floats()) EXPECT_EQ(value, 0);
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod, testing::Values("gptq", "act-order", "adaround", "learned"),
                         [](const auto& info) {
                           return std::string(info.param) == "act-order" ? "act_order" : std::string(info.param);
                         });

// No single step down or up lessens a row's loss any more, looked at from scratch.
TEST(RefineIntegers, EndsWhereNoSingleStepHelps) {
  ThreadPool pool(2);
  const RoundingProblem problem = problem_of({6, 40, Encoding::int4_group(8, 16)});
  Tensor integers = problem.nearest().clone();
  EXPECT_GT(refine_integers(problem, 1000, integers, pool), 0);
  const RoundingMachine machine{pool, table_named("reference")};
  const std::vector<double> losses = row_losses(problem, integers, machine);
  const IntRange range = int_range(problem.encoding);
  for (int64_t i = 0; i < integers.size(); ++i) {
    for (const int step : {-1, 1}) {
      Tensor other = integers.clone();
      other.mutable_data<int32_t>()[i] += step;
      const int32_t q = other.data<int32_t>()[i];
      if (q < range.lowest || q > range.highest) continue;
      const auto row = static_cast<size_t>(i / problem.cols());
      EXPECT_GT(row_losses(problem, other, machine)[row], losses[row] * (1 - 1e-4)) << i << " " << step;
    }
  }
}

}  // namespace
}  // namespace fettle
