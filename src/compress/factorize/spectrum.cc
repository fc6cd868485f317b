#include "compress/factorize/spectrum.h"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace fettle {
namespace {

using Eigen::MatrixXd;

struct Decomposition {
  MatrixXd vectors;
  std::vector<double> energies;
};

// Of a positive semi-definite matrix, falling.
Decomposition decompose(const MatrixXd& gram) {
  if (!gram.allFinite()) bad_input("factorize", "a layer's weights or inputs are not finite");
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(gram);
  if (solver.info() != Eigen::Success) failed("factorize", "the eigenvalues of a Gram matrix were not found");
  // Eigenvalues rise.
  Decomposition result;
  result.vectors = solver.eigenvectors().rowwise().reverse();
  for (Eigen::Index i = gram.rows(); i-- > 0;) result.energies.push_back(std::max(0.0, solver.eigenvalues()[i]));
  return result;
}

MatrixXd damped(const MatrixF& moment, double share) {
  MatrixXd sum = 0.5 * (moment.cast<double>() + moment.cast<double>().transpose());
  const double mean = sum.diagonal().mean();
  sum.diagonal().array() += share * (mean > 0 ? mean : 1);
  return sum;
}

// L with L Lᵀ = moment + damping.
MatrixXd cholesky_root(const MatrixF& moment, double damping) {
  for (double share = std::max(damping, 1e-8); share <= 1; share *= 10) {
    const Eigen::LLT<MatrixXd> factored(damped(moment, share));
    if (factored.info() == Eigen::Success) return factored.matrixL();
  }
  bad_input("calibration", "the inputs of a layer are not finite");
}

}  // namespace

Eigen::Map<const MatrixF> matrix_of(const Tensor& tensor) {
  return {tensor.data<float>(), tensor.dim(0), tensor.dim(1)};
}

Tensor tensor_of(const MatrixF& matrix) {
  Tensor tensor(DType::kF32, {matrix.rows(), matrix.cols()});
  std::memcpy(tensor.raw_mutable(), matrix.data(), static_cast<size_t>(tensor.size_bytes()));
  return tensor;
}

MatrixXd leading_vectors(const MatrixXd& symmetric, int64_t count) {
  return decompose(symmetric).vectors.leftCols(count);
}

double relative_error(const MatrixF& a, const MatrixF& b) {
  const double all = a.cast<double>().norm();
  return all > 0 ? (a.cast<double>() - b.cast<double>()).norm() / all : 0;
}

Spectrum::Spectrum(const MatrixF& weight, const MatrixF* moment, double damping)
    : weight_(weight), by_rows_(weight.rows() <= weight.cols()) {
  const MatrixXd w = weight_.cast<double>();
  MatrixXd gram;
  if (moment == nullptr) {
    gram = by_rows_ ? MatrixXd(w * w.transpose()) : MatrixXd(w.transpose() * w);
  } else if (by_rows_) {
    gram = w * damped(*moment, damping) * w.transpose();
  } else {
    root_ = cholesky_root(*moment, damping);
    const MatrixXd weighted = w * root_;
    gram = weighted.transpose() * weighted;
  }
  Decomposition found = decompose(gram);
  vectors_ = std::move(found.vectors);
  energies_ = std::move(found.energies);
}

double Spectrum::error(int64_t rank) const {
  double all = 0;
  double left_out = 0;
  for (size_t i = energies_.size(); i-- > 0;) {
    all += energies_[i];
    if (static_cast<int64_t>(i) >= rank) left_out += energies_[i];
  }
  return all > 0 ? std::sqrt(left_out / all) : 0;
}

TwoFactors Spectrum::factors(int64_t rank) const {
  const MatrixXd basis = vectors_.leftCols(rank);
  const MatrixXd w = weight_.cast<double>();
  MatrixXd out;
  MatrixXd in;
  if (by_rows_) {
    out = basis;
    in = basis.transpose() * w;
  } else if (root_.size() == 0) {
    out = w * basis;
    in = basis.transpose();
  } else {
    out = w * (root_ * basis);
    in = root_.transpose().triangularView<Eigen::Upper>().solve(basis).transpose();
  }
  for (Eigen::Index i = 0; i < rank; ++i) {
    const double out_length = out.col(i).norm();
    const double in_length = in.row(i).norm();
    if (out_length <= 0 || in_length <= 0) continue;
    const double scale = std::sqrt(in_length / out_length);
    out.col(i) *= scale;
    in.row(i) /= scale;
  }
  return {out.cast<float>(), in.cast<float>()};
}

}  // namespace fettle
