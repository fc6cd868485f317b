// Decompositions against numpy: singular values, least errors plain and weighted.
#include "compress/factorize/spectrum.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "base/philox.h"
#include "base/python_oracle.h"
#include "base/scratch_folder.h"

namespace fettle {
namespace {

MatrixF random_matrix(int64_t rows, int64_t columns, uint64_t seed) {
  Philox random(seed);
  MatrixF matrix(rows, columns);
  for (Eigen::Index i = 0; i < matrix.size(); ++i) matrix.data()[i] = random.normal();
  return matrix;
}

// Inputs as a network has them: a few directions carry most.
MatrixF uneven_inputs(int64_t n, int64_t columns, uint64_t seed) {
  MatrixF inputs = random_matrix(n, columns, seed) * random_matrix(columns, columns, seed + 1);
  for (int64_t c = 0; c < columns; ++c) inputs.col(c) *= c % 5 == 0 ? 3.0f : 0.1f;
  return inputs;
}

void write_matrix(const std::filesystem::path& path, const MatrixF& matrix) {
  write_file(path, {reinterpret_cast<const char*>(matrix.data()), static_cast<size_t>(matrix.size()) * sizeof(float)});
}

Json ask_numpy(const MatrixF& weight, const MatrixF* inputs) {
  const ScratchFolder scratch;
  write_matrix(scratch / "w", weight);
  std::string arguments =
      std::to_string(weight.rows()) + " " + std::to_string(weight.cols()) + " '" + (scratch / "w").string() + "'";
  if (inputs != nullptr) {
    write_matrix(scratch / "x", *inputs);
    arguments += " '" + (scratch / "x").string() + "'";
  }
  const PythonResult result = run_oracle("svd.py", arguments);
  EXPECT_EQ(result.status, 0) << result.output;
  return parse_json(result.output, "svd.py");
}

MatrixF product(const TwoFactors& factors) {
  return factors.out * factors.in;
}

class SpectrumOfShape : public testing::TestWithParam<std::pair<int, int>> {};

TEST_P(SpectrumOfShape, IsNumpys) {
  if (!python_has("numpy")) GTEST_SKIP() << "needs numpy";
  const MatrixF weight = random_matrix(GetParam().first, GetParam().second, 3);
  const Json expected = ask_numpy(weight, nullptr);
  const Spectrum spectrum(weight, nullptr, 0);
  ASSERT_EQ(spectrum.energies().size(), expected["values"].size());
  for (size_t i = 0; i < spectrum.energies().size(); ++i) {
    EXPECT_NEAR(std::sqrt(spectrum.energies()[i]), expected["values"][i].get<double>(), 1e-5);
  }
  const double norm = expected["norm"].get<double>();
  const auto most = static_cast<int64_t>(spectrum.energies().size());
  for (const int64_t rank : {int64_t{1}, std::max<int64_t>(1, most / 2), std::max<int64_t>(1, most - 1), most}) {
    const double least = expected["errors"][static_cast<size_t>(rank)].get<double>();
    EXPECT_NEAR(spectrum.error(rank), least / norm, 1e-6);
    // Eckart and Young: the factors reach it.
    EXPECT_NEAR((weight - product(spectrum.factors(rank))).cast<double>().norm(), least, 1e-4 * norm) << rank;
  }
}

TEST_P(SpectrumOfShape, WeightedIsTheLeastErrorOfOutputs) {
  if (!python_has("numpy")) GTEST_SKIP() << "needs numpy";
  const MatrixF weight = random_matrix(GetParam().first, GetParam().second, 4);
  const MatrixF inputs = uneven_inputs(300, weight.cols(), 9);
  const MatrixF moment = inputs.transpose() * inputs;
  const Json expected = ask_numpy(weight, &inputs);
  const Spectrum plain(weight, nullptr, 0);
  const Spectrum weighted(weight, &moment, 1e-8);
  const double norm = expected["norm"].get<double>();
  const auto output_error = [&](const TwoFactors& factors) {
    return ((weight - product(factors)) * inputs.transpose()).cast<double>().norm();
  };
  const auto most = static_cast<int64_t>(plain.energies().size());
  for (const int64_t rank : {int64_t{1}, std::max<int64_t>(1, most / 2), std::max<int64_t>(1, most - 1)}) {
    const double least = expected["errors"][static_cast<size_t>(rank)].get<double>();
    const double error = output_error(weighted.factors(rank));
    EXPECT_NEAR(error, least, 1e-3 * norm) << rank;
    EXPECT_NEAR(weighted.error(rank), least / norm, 1e-3) << rank;
    EXPECT_LT(error, output_error(plain.factors(rank)) + 1e-5 * norm) << rank;
  }
  if (most < 3) return;
  EXPECT_LT(output_error(weighted.factors(most / 3)), 0.8 * output_error(plain.factors(most / 3)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, SpectrumOfShape,
                         testing::Values(std::pair(12, 30), std::pair(30, 12), std::pair(20, 20), std::pair(1, 5),
                                         std::pair(6, 1)));

TEST(Spectrum, FactorsHaveEqualLengths) {
  const TwoFactors factors = Spectrum(random_matrix(9, 14, 2), nullptr, 0).factors(5);
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(factors.out.col(i).norm(), factors.in.row(i).norm(), 1e-5);
}

TEST(Spectrum, TakesInputsThatAreAllAlikeOrZero) {
  const MatrixF weight = random_matrix(10, 6, 2);
  const MatrixF inputs = MatrixF::Ones(20, 6);
  for (const MatrixF& moment : {MatrixF(inputs.transpose() * inputs), MatrixF(MatrixF::Zero(6, 6))}) {
    const TwoFactors factors = Spectrum(weight, &moment, 1e-2).factors(3);
    EXPECT_TRUE(product(factors).allFinite());
  }
  const TwoFactors of_zeros = Spectrum(MatrixF::Zero(4, 6), nullptr, 0).factors(2);
  EXPECT_EQ(product(of_zeros), MatrixF(MatrixF::Zero(4, 6)));
}

}  // namespace
}  // namespace fettle
