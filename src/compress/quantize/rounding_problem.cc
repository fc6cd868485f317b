#include "compress/quantize/rounding_problem.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace fettle {
namespace {

// r M rᵀ of each row, rounding errors below zero taken for none.
std::vector<double> forms(const std::vector<float>& rows, const Tensor& moment, const RoundingMachine& machine) {
  const int64_t n_cols = moment.dim(0);
  const int64_t n_rows = n_cols == 0 ? 0 : std::ssize(rows) / n_cols;
  std::vector<float> products(rows.size());
  machine.table.matmul_f32({.m = n_rows,
                            .n = n_cols,
                            .k = n_cols,
                            .a = rows.data(),
                            .lda = n_cols,
                            .b = moment.data<float>(),
                            .ldb = n_cols,
                            .c = products.data(),
                            .ldc = n_cols},
                           machine.pool);
  std::vector<double> sums(static_cast<size_t>(n_rows));
  for (int64_t r = 0; r < n_rows; ++r) {
    double sum = 0;
    for (int64_t c = 0; c < n_cols; ++c) {
      const auto at = static_cast<size_t>(r * n_cols + c);
      sum += static_cast<double>(rows[at]) * static_cast<double>(products[at]);
    }
    sums[static_cast<size_t>(r)] = std::max(0.0, sum);
  }
  return sums;
}

double total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

double relative_loss(const std::vector<double>& losses, const std::vector<double>& energies) {
  const double energy = total(energies);
  return energy > 0 ? std::sqrt(total(losses) / energy) : 0;
}

}  // namespace

RoundingProblem RoundingProblem::of(Tensor weight, Tensor moment, const Encoding& encoding) {
  IntGrid grid = choose_grid(weight, encoding);
  return {std::move(weight), std::move(moment), encoding, std::move(grid)};
}

GridCells::GridCells(const RoundingProblem& problem)
    : range_(int_range(problem.encoding)),
      scales_(problem.grid.scales.data<float>()),
      zeros_(problem.encoding.asymmetric ? problem.grid.zeros.data<uint8_t>() : nullptr),
      n_groups_(problem.grid.scales.dim(1)),
      width_(problem.encoding.group_size > 0 ? problem.encoding.group_size : std::max<int64_t>(problem.cols(), 1)),
      has_rows_(!problem.encoding.per_tensor) {}

int GridCells::nearest(int64_t row, int64_t col, double value) const {
  const double q = std::nearbyint(value / static_cast<double>(scale(row, col))) + zero(row, col);
  return static_cast<int>(std::clamp<double>(q, range_.lowest, range_.highest));
}

std::vector<double> row_losses(const RoundingProblem& problem, const Tensor& integers, const RoundingMachine& machine) {
  const GridCells cells(problem);
  std::vector<float> errors(static_cast<size_t>(problem.weight.size()));
  for (int64_t r = 0; r < problem.rows(); ++r) {
    for (int64_t c = 0; c < problem.cols(); ++c) {
      const int64_t at = r * problem.cols() + c;
      const double rounded = cells.value(r, c, integers.data<int32_t>()[at]);
      errors[static_cast<size_t>(at)] =
          static_cast<float>(static_cast<double>(problem.weight.data<float>()[at]) - rounded);
    }
  }
  return forms(errors, problem.moment, machine);
}

RoundedWeight keep_better_rows(const RoundingProblem& problem, Tensor integers, const RoundingMachine& machine) {
  const Tensor nearest = problem.nearest();
  const std::vector<double> nearest_losses = row_losses(problem, nearest, machine);
  std::vector<double> losses = row_losses(problem, integers, machine);
  const int64_t n_cols = problem.cols();
  for (int64_t r = 0; r < problem.rows(); ++r) {
    const auto at = static_cast<size_t>(r);
    if (losses[at] <= nearest_losses[at]) continue;
    losses[at] = nearest_losses[at];
    std::copy_n(nearest.data<int32_t>() + r * n_cols, n_cols, integers.mutable_data<int32_t>() + r * n_cols);
  }
  const std::span<const float> weight = problem.weight.floats();
  const std::vector<double> energies = forms({weight.begin(), weight.end()}, problem.moment, machine);
  return {.encoded = from_integers(integers, problem.grid, problem.encoding),
          .nearest_error = relative_loss(nearest_losses, energies),
          .error = relative_loss(losses, energies)};
}

}  // namespace fettle
