#include "compress/quantize/gptq.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <utility>
#include <vector>

#include "base/cancel.h"
#include "base/error.h"

namespace fettle {
namespace {

using RowMatrixD = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr int64_t kRowsPerTask = 16;
constexpr int kMostDampings = 8;  // tenfold each

// Columns in the order in which they are rounded; those without inputs are not among them.
std::vector<int64_t> column_order(const Tensor& moment, bool act_order) {
  const int64_t n = moment.dim(0);
  const auto diagonal = [&](int64_t i) { return moment.data<float>()[i * n + i]; };
  std::vector<int64_t> order;
  for (int64_t i = 0; i < n; ++i) {
    if (diagonal(i) > 0) order.push_back(i);
  }
  if (act_order) std::ranges::stable_sort(order, [&](int64_t a, int64_t b) { return diagonal(a) > diagonal(b); });
  return order;
}

struct InverseFactor {
  RowMatrixD u;
  double damping = 0;  // that was needed
};

// U with H⁻¹ = Uᵀ U, H twice the moment of these columns with damping: by the factor of H with its columns from last to
// first, R Rᵀ, U = R⁻¹.
InverseFactor factor_inverse(const Tensor& moment, const std::vector<int64_t>& order, double damping) {
  const auto n = static_cast<Eigen::Index>(order.size());
  const int64_t stride = moment.dim(1);
  Eigen::MatrixXd reversed(n, n);
  for (Eigen::Index i = 0; i < n; ++i) {
    const int64_t from = order[static_cast<size_t>(n - 1 - i)];
    for (Eigen::Index j = 0; j < n; ++j) {
      const int64_t to = order[static_cast<size_t>(n - 1 - j)];
      reversed(i, j) = 2 * static_cast<double>(moment.data<float>()[from * stride + to]);
    }
  }
  const double mean = n > 0 ? reversed.diagonal().mean() : 0;
  for (int i = 0; i < kMostDampings; ++i) {
    Eigen::MatrixXd damped = reversed;
    damped.diagonal().array() += damping * mean;
    const Eigen::LLT<Eigen::MatrixXd> factor(damped);
    if (factor.info() == Eigen::Success) {
      const Eigen::MatrixXd inverse = factor.matrixL().solve(Eigen::MatrixXd::Identity(n, n));
      return {inverse.reverse(), damping};
    }
    damping = std::max(10 * damping, 1e-6);
  }
  failed("gptq", "the inputs' moments cannot be factored", "a larger --damping");
}

struct RowRounder {
  const RowMatrixD& u;
  const std::vector<int64_t>& order;
  const GridCells& cells;
  int64_t block;
  int64_t n_cols;
  int32_t* integers;

  // `rest`: what is still to be rounded of the rows from first_row on, [rows, columns in order].
  void round(RowMatrixD& rest, int64_t first_row) const {
    const auto n = static_cast<Eigen::Index>(order.size());
    for (Eigen::Index begin = 0; begin < n; begin += block) {
      const Eigen::Index end = std::min<Eigen::Index>(n, begin + block);
      RowMatrixD errors(rest.rows(), end - begin);
      for (Eigen::Index j = begin; j < end; ++j) {
        errors.col(j - begin) = round_column(rest, first_row, j);
        rest.middleCols(j, end - j).noalias() -= errors.col(j - begin) * u.row(j).segment(j, end - j);
      }
      if (end < n) rest.rightCols(n - end).noalias() -= errors * u.block(begin, end, end - begin, n - end);
    }
  }

  // What rounding it takes away, in parts of U's diagonal.
  Eigen::VectorXd round_column(const RowMatrixD& rest, int64_t first_row, Eigen::Index j) const {
    const int64_t col = order[static_cast<size_t>(j)];
    Eigen::VectorXd errors(rest.rows());
    for (Eigen::Index r = 0; r < rest.rows(); ++r) {
      const int64_t row = first_row + r;
      const int q = cells.nearest(row, col, rest(r, j));
      integers[row * n_cols + col] = q;
      errors(r) = (rest(r, j) - cells.value(row, col, q)) / u(j, j);
    }
    return errors;
  }
};

}  // namespace

GptqIntegers gptq_integers(const RoundingProblem& problem, const GptqOptions& options, ThreadPool& pool) {
  const std::vector<int64_t> order = column_order(problem.moment, options.act_order);
  GptqIntegers result{.values = problem.nearest()};
  const InverseFactor factor = factor_inverse(problem.moment, order, options.damping);
  result.damping = factor.damping;
  const GridCells cells(problem);
  const RowRounder rounder{factor.u,      order,          cells,
                           options.block, problem.cols(), result.values.mutable_data<int32_t>()};
  pool.parallel_ranges(problem.rows(), kRowsPerTask, [&](int64_t begin, int64_t end, int) {
    throw_if_cancelled();
    RowMatrixD rest(end - begin, static_cast<Eigen::Index>(order.size()));
    for (Eigen::Index r = 0; r < rest.rows(); ++r) {
      const float* const row = problem.weight.data<float>() + (begin + r) * problem.cols();
      for (Eigen::Index j = 0; j < rest.cols(); ++j) {
        rest(r, j) = static_cast<double>(row[order[static_cast<size_t>(j)]]);
      }
    }
    rounder.round(rest, begin);
  });
  return result;
}

RoundedWeight round_by_gptq(const RoundingProblem& problem, const GptqOptions& options,
                            const RoundingMachine& machine) {
  GptqIntegers integers = gptq_integers(problem, options, machine.pool);
  RoundedWeight rounded = keep_better_rows(problem, std::move(integers.values), machine);
  rounded.damping = integers.damping;
  return rounded;
}

}  // namespace fettle
