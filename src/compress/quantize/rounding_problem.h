// What to round one weight to, so that its outputs lose little: what methods of rounding other than nearest share.
#pragma once

#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "tensor/int_grid.h"

namespace fettle {

// A weight, its grid, and what goes in.
struct RoundingProblem {
  Tensor weight;  // f32 [rows, cols]
  Tensor moment;  // f32 [cols, cols], Σ x xᵀ
  Encoding encoding;
  IntGrid grid;

  // With the grid that `encode` takes.
  static RoundingProblem of(Tensor weight, Tensor moment, const Encoding& encoding);
  int64_t rows() const { return weight.dim(0); }
  int64_t cols() const { return weight.dim(1); }
  Tensor nearest() const { return round_to_grid(weight, grid, encoding); }
};

struct RoundingMachine {
  ThreadPool& pool;
  const KernelTable& table;
};

// The scale and zero point of each weight; the problem must outlive it.
class GridCells {
 public:
  explicit GridCells(const RoundingProblem& problem);

  float scale(int64_t row, int64_t col) const { return scales_[at(row, col)]; }
  int zero(int64_t row, int64_t col) const { return zeros_ == nullptr ? 0 : zeros_[at(row, col)]; }
  double value(int64_t row, int64_t col, int q) const {
    return static_cast<double>(static_cast<float>(q - zero(row, col)) * scale(row, col));
  }
  IntRange range() const { return range_; }
  // The nearest integer, ties to even.
  int nearest(int64_t row, int64_t col, double value) const;

 private:
  int64_t at(int64_t row, int64_t col) const { return (has_rows_ ? row * n_groups_ : 0) + col / width_; }

  IntRange range_;
  const float* scales_;
  const uint8_t* zeros_;
  int64_t n_groups_;
  int64_t width_;
  bool has_rows_;
};

// What each row of outputs loses by integers i32 [rows, cols]: (w - w') M (w - w')ᵀ. [rows]
std::vector<double> row_losses(const RoundingProblem& problem, const Tensor& integers, const RoundingMachine& machine);

struct RoundedWeight {
  EncodedTensor encoded;
  double damping = 0;        // of the moment, where a method uses it
  double nearest_error = 0;  // of the outputs on the calibration data with nearest: |Wx - W'x| / |Wx|
  double error = 0;          // the same of what was chosen; never above nearest_error
};

// Each row of these integers, or of those to nearest where they lose less.
RoundedWeight keep_better_rows(const RoundingProblem& problem, Tensor integers, const RoundingMachine& machine);

}  // namespace fettle
