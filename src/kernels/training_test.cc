// Every table's training kernels against the reference table, on sizes that are no multiples of anything.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/training_test.h"

namespace fettle {
namespace {

constexpr int64_t kSizes[] = {1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 257, 768};

struct MatmulCase {
  Matmul product;
  Floats a, b, bias, c;
};

MatmulCase make_matmul(int64_t m, int64_t n, int64_t k, int form, uint64_t seed) {
  MatmulCase x;
  Matmul& p = x.product;
  p.m = m;
  p.n = n;
  p.k = k;
  p.transpose_a = (form & 1) != 0;
  p.transpose_b = (form & 2) != 0;
  p.accumulate = (form & 4) != 0;
  p.lda = (p.transpose_a ? m : k) + 3;
  p.ldb = (p.transpose_b ? k : n) + 1;
  p.ldc = n + 5;
  x.a = normal_values((p.transpose_a ? k : m) * p.lda, seed);
  x.b = normal_values((p.transpose_b ? n : k) * p.ldb, seed + 1);
  x.c = normal_values(m * p.ldc, seed + 2);
  x.bias = normal_values(n, seed + 3);
  return x;
}

Floats run_matmul(void (*matmul)(const Matmul&, ThreadPool&), const MatmulCase& x, ThreadPool& pool) {
  Floats c = x.c;
  Matmul p = x.product;
  p.a = x.a.data();
  p.b = x.b.data();
  p.c = c.data();
  p.bias = p.accumulate ? x.bias.data() : nullptr;
  matmul(p, pool);
  return c;
}

TEST_P(Training, MatmulAgreesWithReferenceOnOddShapes) {
  const int64_t shapes[][3] = {{1, 1, 1},    {1, 17, 31},  {15, 16, 33},  {16, 15, 257},  {17, 33, 32},   {31, 1, 64},
                               {33, 65, 17}, {47, 100, 1}, {257, 31, 40}, {20, 270, 520}, {260, 12, 300}, {33, 65, 0}};
  for (const auto& [m, n, k] : shapes) {
    for (int form = 0; form < 8; ++form) {
      SCOPED_TRACE(testing::Message() << m << " x " << n << " x " << k << " form " << form);
      const MatmulCase x = make_matmul(m, n, k, form, static_cast<uint64_t>(m * 1000 + n + form));
      const double bound = 2e-6 * std::sqrt(static_cast<double>(k)) + 1e-6;
      EXPECT_LE(difference(run_matmul(table().matmul_f32, x, pool_), run_matmul(reference().matmul_f32, x, pool_)),
                bound);
      EXPECT_LE(difference(run_matmul(table().matmul_bf16, x, pool_), run_matmul(reference().matmul_bf16, x, pool_)),
                bound);
    }
  }
}

TEST_P(Training, MatmulOfLargeAlignedResultAgreesWithReference) {
  const int64_t m = 520;
  const int64_t n = 528;
  const int64_t k = 9;
  const Floats a = normal_values(m * k, 1);
  const Floats b = normal_values(n * k, 2);
  const auto run = [&](const KernelTable& kernels) {
    Floats buffer(static_cast<size_t>(m * n + 16));
    float* c = buffer.data();
    while (reinterpret_cast<uintptr_t>(c) % 64 != 0) ++c;
    Matmul p{.m = m, .n = n, .k = k, .a = a.data(), .lda = k, .b = b.data(), .ldb = k, .transpose_b = true};
    p.c = c;
    p.ldc = n;
    kernels.matmul_bf16(p, pool_);
    return Floats(c, c + m * n);
  };
  EXPECT_LE(difference(run(table()), run(reference())), 1e-5);
}

TEST_P(Training, MatmulOfNothingIsBiasAndOldValue) {
  MatmulCase x = make_matmul(5, 9, 0, 4, 1);
  Floats expected = x.c;
  for (int64_t i = 0; i < 5; ++i) {
    for (int64_t j = 0; j < 9; ++j) expected[i * x.product.ldc + j] += x.bias[j];
  }
  EXPECT_LE(difference(run_matmul(table().matmul_f32, x, pool_), expected), 1e-6);
  EXPECT_LE(difference(run_matmul(table().matmul_bf16, x, pool_), expected), 1e-6);
  x = make_matmul(0, 9, 4, 0, 1);
  EXPECT_EQ(run_matmul(table().matmul_bf16, x, pool_), x.c);
}

TEST_P(Training, MatmulHasTheSameBitsAtAnyNumberOfThreads) {
  ThreadPool one(1);
  ThreadPool three(3);
  const bool slow = table().name == "reference";
  for (int form = 0; form < 4; ++form) {
    const MatmulCase x = slow ? make_matmul(30, 29, 60, form, 7) : make_matmul(300, 290, 600, form, 7);
    const Floats f32 = run_matmul(table().matmul_f32, x, one);
    const Floats bf16 = run_matmul(table().matmul_bf16, x, one);
    for (ThreadPool* pool : {&pool_, &three}) {
      EXPECT_EQ(f32, run_matmul(table().matmul_f32, x, *pool));
      EXPECT_EQ(bf16, run_matmul(table().matmul_bf16, x, *pool));
    }
  }
}

TEST_P(Training, MatmulLetsNanAndInfinityThrough) {
  MatmulCase x = make_matmul(18, 19, 20, 0, 3);
  x.a[2 * x.product.lda + 5] = NAN;
  x.b[7 * x.product.ldb + 4] = INFINITY;
  for (auto matmul : {table().matmul_f32, table().matmul_bf16}) {
    const Floats c = run_matmul(matmul, x, pool_);
    for (int64_t i = 0; i < 18; ++i) {
      for (int64_t j = 0; j < 19; ++j) {
        const float value = c[i * x.product.ldc + j];
        EXPECT_EQ(std::isnan(value), i == 2) << i << " " << j;
        EXPECT_EQ(std::isinf(value), i != 2 && j == 4) << i << " " << j;
      }
    }
  }
}

TEST_P(Training, LayerNormAgreesWithReference) {
  for (const int64_t width : kSizes) {
    const int64_t rows = 5;
    const Floats x = normal_values(rows * width, 1);
    const Floats residual = normal_values(rows * width, 2);
    const Floats gamma = normal_values(width, 3);
    const Floats beta = normal_values(width, 4);
    for (const bool with_residual : {false, true}) {
      const auto run = [&](const KernelTable& kernels) {
        Floats y(x.size() + 2 * rows);
        LayerNorm args{.x = x.data(), .gamma = gamma.data(), .beta = beta.data(), .eps = 1e-5f, .width = width};
        args.residual = with_residual ? residual.data() : nullptr;
        args.y = y.data();
        args.mean = y.data() + rows * width;
        args.rstd = args.mean + rows;
        kernels.layer_norm(args, 0, 2);
        kernels.layer_norm(args, 2, rows);
        return y;
      };
      EXPECT_LE(difference(run(table()), run(reference())), 1e-5) << width;
    }
  }
}

TEST_P(Training, LayerNormGradientAgreesWithReference) {
  for (const int64_t width : {1, 9, 17, 100, 768}) {
    for (const int64_t rows : {1, 31, 32, 33, 100}) {
      const Floats x = normal_values(rows * width, 1);
      const Floats d_y = normal_values(rows * width, 2);
      const Floats gamma = normal_values(width, 3);
      const Floats mean = normal_values(rows, 4, 0.1f);
      Floats rstd = normal_values(rows, 5, 0.1f);
      for (float& value : rstd) value += 1;
      const auto run = [&](const KernelTable& kernels, ThreadPool& pool) {
        Floats out(x.size() + 2 * width);
        LayerNormGrad args{.x = x.data(), .d_y = d_y.data(), .gamma = gamma.data(), .mean = mean.data()};
        args.rstd = rstd.data();
        args.rows = rows;
        args.width = width;
        args.d_x = out.data();
        args.d_gamma = out.data() + x.size();
        args.d_beta = args.d_gamma + width;
        kernels.layer_norm_grad(args, pool);
        return out;
      };
      ThreadPool three(3);
      const Floats got = run(table(), pool_);
      EXPECT_LE(difference(got, run(reference(), pool_)), 2e-5) << rows << " x " << width;
      EXPECT_EQ(got, run(table(), three));
    }
  }
}

constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kTanh, Activation::kGelu,
                                       Activation::kGeluTanh};

TEST_P(Training, ActivationsAgreeWithReferenceEverywhere) {
  Floats x;
  for (double value = -40; value <= 40; value += 0.00137) x.push_back(static_cast<float>(value));
  for (float value = 1e-30f; value < 1e30f; value *= 3) {
    x.push_back(value);
    x.push_back(-value);
  }
  x.insert(x.end(), {0.0f, -0.0f, INFINITY, NAN});
  const auto n = static_cast<int64_t>(x.size());
  const Floats d_y = normal_values(n, 8);
  for (const Activation kind : kActivations) {
    SCOPED_TRACE(static_cast<int>(kind));
    Floats got(x.size());
    Floats expected(x.size());
    table().activate(kind, x.data(), got.data(), n);
    reference().activate(kind, x.data(), expected.data(), n);
    for (size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(expected[i])) {
        EXPECT_TRUE(std::isnan(got[i])) << x[i];
      } else if (got[i] != expected[i]) {
        // In the far tail the rounding of x² / 2 counts, and the reference's 1 + tanh cancels.
        const double relative = 1e-6 + 6e-8 * std::min(x[i] * x[i], 100.0f);
        const double bound = relative * std::abs(expected[i]) + (kind == Activation::kGeluTanh ? 1e-15
                                                                 : x[i] < -9                   ? 1e-17
                                                                                               : 1e-30);
        EXPECT_NEAR(got[i], expected[i], bound) << x[i];
      }
    }
    table().activate_grad(kind, x.data(), d_y.data(), got.data(), n - 2);
    reference().activate_grad(kind, x.data(), d_y.data(), expected.data(), n - 2);
    got.resize(n - 2);
    expected.resize(n - 2);
    EXPECT_LE(difference(got, expected), 2e-6);
    Floats in_place = x;
    table().activate(kind, in_place.data(), in_place.data(), n - 1);
    reference().activate(kind, x.data(), expected.data(), n - 2);
    in_place.resize(n - 2);
    EXPECT_LE(difference(in_place, expected), 1e-6);
  }
}

TEST_P(Training, SoftmaxAgreesWithReference) {
  for (const int64_t width : kSizes) {
    const int64_t rows = 4;
    Floats x = normal_values(rows * width, 1, 20);
    x[0] = 88.9f;
    if (width > 3) x[2] = -INFINITY;
    for (const bool log : {false, true}) {
      Floats got = x;
      Floats expected = x;
      (log ? table().log_softmax : table().softmax)(got.data(), rows, width);
      (log ? reference().log_softmax : reference().softmax)(expected.data(), rows, width);
      EXPECT_LE(difference(got, expected), 1e-6) << width << (log ? " log" : "");
    }
  }
}

TEST_P(Training, SimpleKernelsAgreeWithReferenceExactly) {
  for (const int64_t n : kSizes) {
    const Floats a = normal_values(n * 5, 1);
    const Floats b = normal_values(n * 5, 2);
    Floats got(a.size());
    Floats expected(a.size());
    table().add(a.data(), b.data(), got.data(), n * 5);
    reference().add(a.data(), b.data(), expected.data(), n * 5);
    EXPECT_EQ(got, expected);
    table().scale(a.data(), 0.7f, got.data(), n * 5);
    reference().scale(a.data(), 0.7f, expected.data(), n * 5);
    EXPECT_EQ(got, expected);
    table().add_bias(a.data(), b.data(), got.data(), 5, n);
    reference().add_bias(a.data(), b.data(), expected.data(), 5, n);
    EXPECT_EQ(got, expected);
    table().sum_rows(a.data(), 5, n, got.data(), n / 3, n);
    reference().sum_rows(a.data(), 5, n, expected.data(), n / 3, n);
    EXPECT_EQ(got, expected);
    EXPECT_NEAR(table().sum_of_squares(a.data(), n * 5), reference().sum_of_squares(a.data(), n * 5), 1e-9 * n);
    const std::vector<int32_t> ids = {4, 0, 4, 2, 1};
    table().gather(a.data(), ids.data(), 5, n, got.data());
    for (int64_t r = 0; r < 5; ++r) EXPECT_EQ(0, std::memcmp(&got[r * n], &a[ids[r] * n], n * sizeof(float)));
  }
}

TEST_P(Training, AdamwAgreesWithReference) {
  const int64_t n = 301;
  const auto run = [&](const KernelTable& kernels) {
    Floats state = normal_values(3 * n, 1);
    for (int64_t i = 2 * n; i < 3 * n; ++i) state[i] = std::abs(state[i]) * 1e-3f;
    const Floats grad = normal_values(n, 2, 0.1f);
    AdamwStep step{.weight = state.data(), .grad = grad.data(), .m = state.data() + n, .v = state.data() + 2 * n};
    step.lr = 0.01f;
    step.weight_decay = 0.1f;
    step.bias1 = 0.1f;
    step.bias2 = 0.001f;
    step.grad_scale = 0.5f;
    kernels.adamw(step, 3, 20);
    kernels.adamw(step, 20, n - 1);
    return state;
  };
  EXPECT_LE(difference(run(table()), run(reference())), 1e-6);
}

TEST_P(Training, IdleStepsAreStepsWithoutAGradientToTheBit) {
  constexpr int64_t kSteps = 5;
  for (const bool is_fresh : {false, true}) {
    for (const int64_t n : kSizes) {
      Floats state = normal_values(3 * n, 1);
      for (int64_t i = n; i < 3 * n; ++i) state[i] = is_fresh ? 0 : std::abs(state[i]) * 1e-3f;
      Floats together = state;
      const Floats zeros(n);
      std::vector<AdamwStep> steps(kSteps);
      for (int64_t s = 0; s < kSteps; ++s) {
        steps[s] = {.weight = state.data(), .grad = zeros.data(), .m = state.data() + n, .v = state.data() + 2 * n};
        steps[s].lr = 0.01f / static_cast<float>(s + 1);
        steps[s].weight_decay = 0.1f;
        steps[s].bias1 = static_cast<float>(1 - std::pow(0.9, s + 1));
        steps[s].bias2 = static_cast<float>(1 - std::pow(0.999, s + 1));
        steps[s].grad_scale = 0.5f;
        table().adamw(steps[s], 0, n);
      }
      table().adamw_idle({together.data(), together.data() + n, together.data() + 2 * n, n}, steps.data(), kSteps);
      EXPECT_EQ(0, std::memcmp(together.data(), state.data(), state.size() * sizeof(float))) << n << ' ' << is_fresh;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Training, every_table(), name_of_table);

TEST(Dispatch, ListsReferenceFirstAndFindsByName) {
  EXPECT_EQ(supported_tables().front()->name, "reference");
  EXPECT_EQ(&best_table(), supported_tables().back());
  EXPECT_EQ(&table_named(""), &best_table());
  for (const KernelTable* table : supported_tables()) EXPECT_EQ(&table_named(table->name), table);
  EXPECT_ANY_THROW(table_named("abacus"));
}

}  // namespace
}  // namespace fettle
