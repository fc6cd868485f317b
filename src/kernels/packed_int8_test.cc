// int8 products of every table against plain loops: the same bits.
#include "base/error.h"
#include "kernels/packed_linear_test.h"

namespace fettle {
namespace {

void check_int8(const LinearProblem& p, ThreadPool& pool) {
  const std::vector<uint32_t> expected = bits(expected_int8(p));
  for (const KernelTable* table : supported_tables()) {
    const auto linear = table->pack_int8(p.int8_weights());
    ASSERT_EQ(bits(p.run(*linear, pool)), expected) << name(*table, p) << " threads " << pool.n_threads();
  }
}

TEST(PackedInt8, ExactForEveryNumberOfRows) {
  ThreadPool pool(1);
  for (int64_t rows = 1; rows <= 70; ++rows) check_int8(LinearProblem({rows, 97, 203}), pool);
}

TEST(PackedInt8, ExactForOddShapes) {
  ThreadPool pool(1);
  for (int64_t in : {1, 2, 3, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 128, 129, 191, 257, 300}) {
    for (int64_t out : {1, 5, 16, 17, 95, 96, 97, 111, 193}) {
      for (int64_t rows : {1, 5, 13, 33}) check_int8(LinearProblem({rows, in, out}), pool);
    }
  }
}

TEST(PackedInt8, ExactAtAnyNumberOfThreads) {
  for (int n_threads : {1, 2, 3}) {
    ThreadPool pool(n_threads);
    for (const LinearShape shape :
         {LinearShape{40, 300, 301}, LinearShape{16, 768, 768}, LinearShape{7, 1030, 515}, LinearShape{97, 64, 1111}}) {
      check_int8(LinearProblem(shape), pool);
    }
  }
}

TEST(PackedInt8, ExactForMoreRowsThanOnePassTakes) {
  ThreadPool pool(2);
  check_int8(LinearProblem({4500, 300, 19}), pool);
}

TEST(PackedInt8, BiasAndResidualAreOptional) {
  ThreadPool pool(1);
  for (bool with_bias : {false, true}) {
    for (bool with_residual : {false, true}) {
      LinearProblem p({19, 70, 110});
      p.with_bias = with_bias;
      p.with_residual = with_residual;
      check_int8(p, pool);
    }
  }
}

TEST(PackedInt8, ResidualMayBeTheOutput) {
  ThreadPool pool(1);
  LinearProblem p({19, 70, 110});
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
      LinearProblem p({17, 1000, 33});
      std::fill(p.weight.begin(), p.weight.end(), static_cast<int8_t>(weight));
      std::fill(p.x.begin(), p.x.end(), x);
      check_int8(p, pool);
    }
  }
}

TEST(PackedInt8, ZeroTinyAndHugeRows) {
  ThreadPool pool(1);
  LinearProblem p({6, 70, 40});
  const float magnitudes[] = {0, 1e-45f, 1e-37f, 2e-36f, 1e30f, 3e38f};
  for (int64_t r = 0; r < 6; ++r) {
    for (int64_t i = 0; i < 70; ++i) p.x[static_cast<size_t>(r * p.ldx + i)] = (i % 3 - 1) * magnitudes[r];
  }
  check_int8(p, pool);
}

TEST(PackedInt8, RowsThatAreNotFiniteGiveNan) {
  ThreadPool pool(1);
  for (float bad : {kNan, -kNan, kInf, -kInf}) {
    LinearProblem p({20, 70, 40});
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

// Some values are cut, some rows have small integers only; far beyond the range nothing overflows.
TEST(PackedInt8, OneScaleForAllRows) {
  for (const float input_scale : {0.005f, 0.013f, 0.1f, 1.0f / 127, 1e-30f}) {
    for (int n_threads : {1, 2}) {
      ThreadPool pool(n_threads);
      for (const LinearShape shape :
           {LinearShape{1, 1, 1}, LinearShape{70, 97, 203}, LinearShape{16, 768, 96}, LinearShape{33, 1030, 515}}) {
        LinearProblem p(shape);
        p.input_scale = input_scale;
        check_int8(p, pool);
      }
    }
  }
}

TEST(PackedInt8, OneScaleForRowsOfAnyMagnitude) {
  ThreadPool pool(1);
  LinearProblem p({8, 70, 40});
  p.input_scale = 0.02f;
  const float magnitudes[] = {0, 1e-45f, 1e-37f, 2.53f, 2.541f, 1e10f, 3e38f, kInf};
  for (int64_t r = 0; r < 8; ++r) {
    for (int64_t i = 0; i < 70; ++i) {
      const auto step = static_cast<float>(i % 3 - 1);
      p.x[static_cast<size_t>(r * p.ldx + i)] = step == 0 ? 0 : step * magnitudes[r];
    }
  }
  check_int8(p, pool);
  const std::vector<float> y = p.run(*best_table().pack_int8(p.int8_weights()), pool);
  EXPECT_TRUE(std::isfinite(y[static_cast<size_t>(6 * p.ldy)]));
  EXPECT_TRUE(std::isnan(y[static_cast<size_t>(7 * p.ldy)]));
  p.x[5] = kNan;
  check_int8(p, pool);
}

TEST(PackedInt8, RefusesWhatIsNoScaleOfInputs) {
  LinearProblem p({1, 8, 8});
  for (const float input_scale : {-0.1f, 1e-38f, 1e38f, kInf, kNan}) {
    p.input_scale = input_scale;
    for (const KernelTable* table : supported_tables()) {
      EXPECT_THROW(table->pack_int8(p.int8_weights()), Error) << table->name << " " << input_scale;
    }
  }
}

TEST(PackedInt8, NoRowsNoInputsNoOutputs) {
  ThreadPool pool(2);
  check_int8(LinearProblem({0, 8, 8}), pool);
  check_int8(LinearProblem({5, 0, 8}), pool);
  check_int8(LinearProblem({5, 8, 0}), pool);
}

}  // namespace
}  // namespace fettle
