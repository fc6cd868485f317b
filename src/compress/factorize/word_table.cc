// The word table as two factors.
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "compress/factorize/common.h"
#include "compress/factorize/ranks.h"
#include "model/config_keys.h"
#include "model/factors.h"

namespace fettle {

FactorizeReport factorize_word_table(Model& model, const FactorizeOptions& options,
                                     const std::vector<int64_t>& counts) {
  check_options(options);
  FactorizeReport report{.size_mb_before = size_mb_of(model), .size_mb = 0, .layers = {}};
  const ArchitectureKeys& keys = architecture_keys(model.config.architecture);
  const std::string name = std::string(keys.parameter_prefix) + "embeddings.word_embeddings";
  const MatrixF table = whole(model, name);
  const int64_t useful = largest_useful_rank(table.rows(), table.cols());
  int64_t rank = options.rank;
  if (rank == 0) {
    rank = static_cast<int64_t>((1 - options.target) * static_cast<double>(table.size()) /
                                static_cast<double>(table.rows() + table.cols()));
    if (rank < 1) usage_error("--target", "removes more than two factors can");
  }
  if (rank > useful) {
    usage_error("factorize", fmt::format("rank {} of the word table [{}, {}] gains nothing, ranks up to {} do", rank,
                                         table.rows(), table.cols(), useful));
  }
  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(table.cols(), table.cols());
  constexpr Eigen::Index kRows = 4096;
  for (Eigen::Index begin = 0; begin < table.rows(); begin += kRows) {
    Eigen::MatrixXd rows = table.middleRows(begin, std::min(kRows, table.rows() - begin)).cast<double>();
    for (Eigen::Index r = 0; r < rows.rows(); ++r) {
      const auto word = static_cast<size_t>(begin + r);
      rows.row(r) *= std::sqrt(word < counts.size() ? static_cast<double>(counts[word] + 1) : 1.0);
    }
    gram.noalias() += rows.transpose() * rows;
  }
  // With any positive weights of the rows, projecting each row on the leading directions is best.
  const MatrixF basis = leading_vectors(gram, rank).cast<float>();
  const MatrixF narrow = table * basis;
  const DType dtype = float_type(model, name);
  forget_matrix(model, name);
  set_matrix(model, name, narrow, dtype);
  set_matrix(model, name + kFactorOut, basis, dtype);
  model.config.ranks[name] = rank;
  report.layers.push_back(
      {.name = name, .rank = rank, .relative_error = relative_error(table, narrow * basis.transpose())});
  report.size_mb = size_mb_of(model);
  return report;
}

}  // namespace fettle
