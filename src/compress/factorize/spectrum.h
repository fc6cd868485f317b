// The singular value decomposition of one weight, plain or weighted by what goes into it, and its best approximations
// by two factors.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace fettle {

using MatrixF = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// W ≈ out · in.
struct TwoFactors {
  MatrixF out;  // [rows, rank]
  MatrixF in;   // [rank, columns]
};

// A view of a rank-2 f32 tensor, and a copy of a matrix as a tensor.
Eigen::Map<const MatrixF> matrix_of(const Tensor& tensor);
Tensor tensor_of(const MatrixF& matrix);

// The eigenvectors of the `count` largest eigenvalues of a symmetric matrix, falling.
Eigen::MatrixXd leading_vectors(const Eigen::MatrixXd& symmetric, int64_t count);

// |A - B| / |A| in the Frobenius norm; 0 for zeros.
double relative_error(const MatrixF& a, const MatrixF& b);

// Eckart and Young (1936): cutting the decomposition after r terms leaves the smallest error of all matrices of rank r,
// the root of the sum of the squares of the singular values left out. With the second moment E[x xᵀ] of the inputs that
// holds for the error of the outputs, E|(W - W') x|²: W · L is decomposed, L Lᵀ the moment (Cholesky), and L is taken
// back out of the second factor. Computed from the eigenvectors of the Gram matrix on the smaller side, in doubles.
class Spectrum {
 public:
  // weight [rows, columns]; moment [columns, columns] or null. `damping` of the moment's mean diagonal is added to it,
  // ten times as much as long as it cannot be factored.
  Spectrum(const MatrixF& weight, const MatrixF* moment, double damping);

  // Squares of the singular values, falling; min(rows, columns) of them.
  const std::vector<double>& energies() const { return energies_; }
  // Root of the share of the energy that rank r leaves out.
  double error(int64_t rank) const;
  // 1 <= rank <= min(rows, columns). The two factors of each term have equal lengths.
  TwoFactors factors(int64_t rank) const;

 private:
  const MatrixF weight_;
  Eigen::MatrixXd vectors_;  // of the Gram matrix, falling: [smaller side, smaller side]
  Eigen::MatrixXd root_;     // L, where there is a moment and the columns are the smaller side
  bool by_rows_;
  std::vector<double> energies_;
};

}  // namespace fettle
