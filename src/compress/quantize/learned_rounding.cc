#include "compress/quantize/learned_rounding.h"

#include <Eigen/Core>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "compress/factorize/spectrum.h"

namespace fettle {
namespace {

// The rectified sigmoid reaches beyond 0 and 1, so that it gets there.
constexpr float kStretchTop = 1.1f;
constexpr float kStretchBottom = -0.1f;
constexpr double kFirstBeta = 20;
constexpr double kLastBeta = 2;
constexpr double kWarmUp = 0.2;  // share of the iterations without the second term
constexpr double kMeanDecay = 0.9;
constexpr double kVarianceDecay = 0.999;
constexpr int64_t kRowsPerTask = 8;
constexpr double kLeastGain = 1e-9;  // of a step by itself

float sigmoid(float v) {
  return 1 / (1 + std::exp(-v));
}

float stretched(float v) {
  return sigmoid(v) * (kStretchTop - kStretchBottom) + kStretchBottom;
}

// One weight's step: the gradients of both terms and Adam.
struct Step {
  float rate = 0;
  float beta = 0;  // 0: the first term alone
  float regularization = 0;
  float mean_left = 0;  // 1 - β₁ᵗ
  float variance_left = 0;
};

float term_slope(float h, const Step& step) {
  if (step.beta == 0) return 0;
  const float t = 2 * h - 1;
  const float size = std::fabs(t);
  const float slope = -2 * step.beta * std::pow(size, step.beta - 1);
  return step.regularization * (t < 0 ? -slope : slope);
}

class Learner {
 public:
  Learner(const RoundingProblem& problem, const RoundingMachine& machine)
      : problem_(problem),
        machine_(machine),
        cells_(problem),
        v_(size()),
        mean_(size()),
        variance_(size()),
        floor_(size()),
        errors_(size()),
        gradient_(size()) {
    for (int64_t r = 0; r < problem.rows(); ++r) {
      for (int64_t c = 0; c < problem.cols(); ++c) begin_at(r, c);
    }
    // As much for each row as its weights have of the second term; nothing where nearest loses nothing.
    for (const double loss : row_losses(problem, problem.nearest(), machine)) {
      row_weights_.push_back(loss > 0 ? static_cast<float>(static_cast<double>(problem.cols()) / loss) : 0.0f);
    }
  }

  void run(const LearnedRoundingOptions& options) {
    const auto warm_up = static_cast<int64_t>(kWarmUp * static_cast<double>(options.iterations));
    const auto n_rest = static_cast<double>(std::max<int64_t>(1, options.iterations - warm_up));
    double left_mean = 1;
    double left_variance = 1;
    for (int64_t t = 0; t < options.iterations; ++t) {
      throw_if_cancelled();
      measure();
      left_mean *= kMeanDecay;
      left_variance *= kVarianceDecay;
      const double done = static_cast<double>(t - warm_up) / n_rest;
      step({.rate = static_cast<float>(options.learning_rate),
            .beta = t < warm_up ? 0.0f : static_cast<float>(kFirstBeta + (kLastBeta - kFirstBeta) * done),
            .regularization = static_cast<float>(options.regularization),
            .mean_left = static_cast<float>(1 - left_mean),
            .variance_left = static_cast<float>(1 - left_variance)});
    }
  }

  Tensor integers() const {
    Tensor result(DType::kI32, problem_.weight.shape());
    for (size_t i = 0; i < size(); ++i) {
      result.mutable_data<int32_t>()[i] = floor_[i] + (stretched(v_[i]) >= 0.5f ? 1 : 0);
    }
    return result;
  }

 private:
  size_t size() const { return static_cast<size_t>(problem_.weight.size()); }
  size_t at(int64_t row, int64_t col) const { return static_cast<size_t>(row * problem_.cols() + col); }

  // h is the share of a step that the weight lies above its floor.
  void begin_at(int64_t r, int64_t c) {
    const IntRange range = cells_.range();
    const size_t i = at(r, c);
    const float steps = problem_.weight.data<float>()[i] / cells_.scale(r, c) + static_cast<float>(cells_.zero(r, c));
    const float inside = std::clamp(steps, static_cast<float>(range.lowest), static_cast<float>(range.highest));
    const float floor = std::min(std::floor(inside), static_cast<float>(range.highest - 1));
    floor_[i] = static_cast<int32_t>(floor);
    const float share = std::clamp(inside - floor, 0.01f, 0.99f);
    const float s = (share - kStretchBottom) / (kStretchTop - kStretchBottom);
    v_[i] = std::log(s / (1 - s));
  }

  // The gradient of the first term by w': twice (w' - w) M.
  void measure() {
    const int64_t n_cols = problem_.cols();
    machine_.pool.parallel_ranges(problem_.rows(), kRowsPerTask, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        for (int64_t c = 0; c < n_cols; ++c) {
          const size_t i = at(r, c);
          const float h = std::clamp(stretched(v_[i]), 0.0f, 1.0f);
          const float q = static_cast<float>(floor_[i] - cells_.zero(r, c)) + h;
          errors_[i] = q * cells_.scale(r, c) - problem_.weight.data<float>()[i];
        }
      }
    });
    machine_.table.matmul_f32({.m = problem_.rows(),
                               .n = n_cols,
                               .k = n_cols,
                               .a = errors_.data(),
                               .lda = n_cols,
                               .b = problem_.moment.data<float>(),
                               .ldb = n_cols,
                               .c = gradient_.data(),
                               .ldc = n_cols},
                              machine_.pool);
  }

  void step(const Step& step) {
    machine_.pool.parallel_ranges(problem_.rows(), kRowsPerTask, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        const float weight = 2 * row_weights_[static_cast<size_t>(r)];
        for (int64_t c = 0; c < problem_.cols(); ++c) {
          const size_t i = at(r, c);
          update(i, weight * gradient_[i] * cells_.scale(r, c), step);
        }
      }
    });
  }

  void update(size_t i, float d_h, const Step& step) {
    constexpr auto kBeta1 = static_cast<float>(kMeanDecay);
    constexpr auto kBeta2 = static_cast<float>(kVarianceDecay);
    constexpr float kWidth = kStretchTop - kStretchBottom;
    const float s = sigmoid(v_[i]);
    const float h = s * kWidth + kStretchBottom;
    const bool is_cut = h <= 0 || h >= 1;
    const float d_v = is_cut ? 0 : (d_h + term_slope(h, step)) * s * (1 - s) * kWidth;
    mean_[i] = kBeta1 * mean_[i] + (1 - kBeta1) * d_v;
    variance_[i] = kBeta2 * variance_[i] + (1 - kBeta2) * d_v * d_v;
    v_[i] -= step.rate * (mean_[i] / step.mean_left) / (std::sqrt(variance_[i] / step.variance_left) + 1e-8f);
  }

  const RoundingProblem& problem_;
  const RoundingMachine& machine_;
  GridCells cells_;
  std::vector<float> row_weights_;
  // [rows, cols]
  std::vector<float> v_;  // h(v) is the share of a step above the floor
  std::vector<float> mean_;
  std::vector<float> variance_;
  std::vector<int32_t> floor_;
  std::vector<float> errors_;
  std::vector<float> gradient_;
};

}  // namespace

int64_t refine_integers(const RoundingProblem& problem, int64_t sweeps, Tensor& integers, ThreadPool& pool) {
  const int64_t n_cols = problem.cols();
  const GridCells cells(problem);
  const Eigen::MatrixXd m = matrix_of(problem.moment).cast<double>();
  std::atomic<int64_t> n_moves = 0;
  int32_t* const all = integers.mutable_data<int32_t>();
  pool.parallel_for(problem.rows(), [&](int64_t r, int) {
    throw_if_cancelled();
    int32_t* const q = all + r * n_cols;
    Eigen::VectorXd error(n_cols);
    for (int64_t c = 0; c < n_cols; ++c) {
      error(c) = cells.value(r, c, q[c]) - static_cast<double>(problem.weight.data<float>()[r * n_cols + c]);
    }
    Eigen::VectorXd slope = m * error;
    for (int64_t sweep = 0; sweep < sweeps; ++sweep) {
      int64_t n_in_sweep = 0;
      for (int64_t c = 0; c < n_cols; ++c) {
        // A change of the weight by d changes the loss by 2 d slope + d² M.
        const int step = slope(c) > 0 ? -1 : 1;
        const int to = q[c] + step;
        if (to < cells.range().lowest || to > cells.range().highest) continue;
        const double d = step * static_cast<double>(cells.scale(r, c));
        const double change = 2 * d * slope(c) + d * d * m(c, c);
        if (change >= -kLeastGain * d * d * m(c, c)) continue;
        q[c] = to;
        slope += d * m.col(c);
        ++n_in_sweep;
      }
      n_moves += n_in_sweep;
      if (n_in_sweep == 0) break;
    }
  });
  return n_moves;
}

RoundedWeight learn_rounding(const RoundingProblem& problem, const LearnedRoundingOptions& options,
                             const RoundingMachine& machine) {
  Learner learner(problem, machine);
  learner.run(options);
  Tensor integers = learner.integers();
  if (options.sweeps > 0) refine_integers(problem, options.sweeps, integers, machine.pool);
  return keep_better_rows(problem, std::move(integers), machine);
}

}  // namespace fettle
