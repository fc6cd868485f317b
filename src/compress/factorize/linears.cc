// Two factors for each linear of the encoder.
#include <fmt/format.h>

#include <memory>
#include <utility>

#include "base/cancel.h"
#include "base/error.h"
#include "base/progress.h"
#include "base/thread_pool.h"
#include "compress/factorize/common.h"
#include "compress/factorize/ranks.h"
#include "model/factors.h"

namespace fettle {
namespace {

struct Matrix {
  std::string name;
  MatrixF values;
  std::unique_ptr<Spectrum> spectrum;
  int64_t rank = 0;
};

std::vector<Matrix> decompose_all(const Model& model, const FactorizeOptions& options,
                                  const std::map<std::string, Tensor>& moments) {
  std::vector<Matrix> matrices;
  for (std::string& name : encoder_linears(model.config, options.attention, options.feed_forward)) {
    matrices.push_back({.name = std::move(name), .values = {}, .spectrum = nullptr, .rank = options.rank});
  }
  if (matrices.empty()) usage_error("factorize", "no part of the encoder is chosen");
  ThreadPool pool(options.n_threads);
  pool.parallel_for(std::ssize(matrices), [&](int64_t i, int) {
    throw_if_cancelled();
    Matrix& matrix = matrices[static_cast<size_t>(i)];
    matrix.values = whole(model, matrix.name);
    const auto moment = moments.find(matrix.name);
    MatrixF second;
    if (moment != moments.end()) second = matrix_of(moment->second);
    matrix.spectrum =
        std::make_unique<Spectrum>(matrix.values, moment == moments.end() ? nullptr : &second, options.damping);
  });
  return matrices;
}

void choose(std::vector<Matrix>& matrices, const FactorizeOptions& options) {
  std::vector<RankCandidate> candidates;
  double n_numbers = 0;
  for (const Matrix& matrix : matrices) {
    candidates.push_back({{matrix.values.rows(), matrix.values.cols()}, &matrix.spectrum->energies()});
    n_numbers += static_cast<double>(matrix.values.size());
  }
  const std::vector<int64_t> ranks =
      choose_ranks(candidates, static_cast<int64_t>((1 - options.target) * n_numbers), options.rank_step);
  for (size_t i = 0; i < matrices.size(); ++i) matrices[i].rank = ranks[i];
}

LayerFactors replace(Model& model, const Matrix& matrix, bool is_weighted) {
  LayerFactors report{.name = matrix.name};
  const int64_t useful = largest_useful_rank(matrix.values.rows(), matrix.values.cols());
  if (matrix.rank == 0) {
    report.remark = "stays whole: the budget leaves it as many numbers as it has";
    return report;
  }
  if (matrix.rank > useful) {
    report.remark = fmt::format("stays whole: rank {} of [{}, {}] gains nothing, ranks up to {} do", matrix.rank,
                                matrix.values.rows(), matrix.values.cols(), useful);
    return report;
  }
  const DType dtype = float_type(model, matrix.name);
  const TwoFactors factors = matrix.spectrum->factors(matrix.rank);
  report.rank = matrix.rank;
  report.relative_error = relative_error(matrix.values, factors.out * factors.in);
  if (is_weighted) report.output_error = matrix.spectrum->error(matrix.rank);
  forget_matrix(model, matrix.name);
  set_matrix(model, matrix.name + kFactorIn, factors.in, dtype);
  set_matrix(model, matrix.name + kFactorOut, factors.out, dtype);
  model.config.ranks[matrix.name] = matrix.rank;
  return report;
}

}  // namespace

FactorizeReport factorize_linears(Model& model, const FactorizeOptions& options,
                                  const std::map<std::string, Tensor>& moments) {
  check_options(options);
  FactorizeReport report{.size_mb_before = size_mb_of(model), .size_mb = 0, .layers = {}};
  std::vector<Matrix> matrices = decompose_all(model, options, moments);
  if (options.target > 0) choose(matrices, options);
  bool any = false;
  for (const Matrix& matrix : matrices) {
    report.layers.push_back(replace(model, matrix, moments.contains(matrix.name)));
    any = any || report.layers.back().rank > 0;
  }
  if (!any)
    usage_error("factorize", "makes no matrix smaller: " + report.layers[0].name + " " + report.layers[0].remark);
  report.size_mb = size_mb_of(model);
  return report;
}

}  // namespace fettle
