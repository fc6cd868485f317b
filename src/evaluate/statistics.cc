// Exact McNemar test and paired bootstrap.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "evaluate/metrics.h"

namespace fettle {

namespace {

constexpr int kResamples = 10000;
constexpr uint64_t kBootstrapStream = 0x626f6f74;  // "boot"

double log_choose(int64_t n, int64_t k) {
  return std::lgamma(static_cast<double>(n) + 1) - std::lgamma(static_cast<double>(k) + 1) -
         std::lgamma(static_cast<double>(n - k) + 1);
}

// Products of two vectors, summed up.
struct Products {
  double aa = 0;
  double ab = 0;
  double bb = 0;

  void add(const Products& other) {
    aa += other.aa;
    ab += other.ab;
    bb += other.bb;
  }
  double cosine() const {
    if (aa == 0 && bb == 0) return 1;
    return aa == 0 || bb == 0 ? 0 : ab / std::sqrt(aa * bb);
  }
};

}  // namespace

LogitCosine compare_logits(const Predictions& a, const Predictions& b) {
  if (a.n_labels != b.n_labels || a.logits.size() != b.logits.size()) failed("compare", "logits of different shapes");
  LogitCosine cosine;
  Products all;
  const auto n_labels = static_cast<size_t>(a.n_labels);
  for (size_t first = 0; first < a.logits.size(); first += n_labels) {
    Products example;
    for (size_t i = first; i < first + n_labels; ++i) {
      const double x = a.logits[i];
      const double y = b.logits[i];
      example.add({x * x, x * y, y * y});
    }
    cosine.worst = std::min(cosine.worst, example.cosine());
    all.add(example);
  }
  cosine.all = all.cosine();
  return cosine;
}

double mcnemar_exact(int64_t b, int64_t c) {
  const int64_t n = b + c;
  if (n == 0) return 1;
  double tail = 0;
  for (int64_t k = 0; k <= std::min(b, c); ++k) {
    tail += std::exp(log_choose(n, k) - static_cast<double>(n) * std::log(2.0));
  }
  return std::min(1.0, 2 * tail);
}

PairedTest compare_predictions(std::span<const int32_t> a, std::span<const int32_t> b, std::span<const int32_t> truth,
                               uint64_t seed) {
  if (a.size() != truth.size() || b.size() != truth.size()) failed("compare", "predictions of different lengths");
  PairedTest test;
  for (size_t i = 0; i < truth.size(); ++i) {
    const bool a_right = a[i] == truth[i];
    const bool b_right = b[i] == truth[i];
    if (a_right && !b_right) ++test.only_a_right;
    if (b_right && !a_right) ++test.only_b_right;
  }
  const auto n = static_cast<int64_t>(truth.size());
  if (n == 0) return test;
  test.accuracy_difference = static_cast<double>(test.only_b_right - test.only_a_right) / static_cast<double>(n);
  test.mcnemar_p = mcnemar_exact(test.only_a_right, test.only_b_right);

  // A resample of the pairs is a draw of how many of each kind it holds: with only_a, only_b and ties in fixed places,
  // one uniform index per pair decides, so each resample costs n draws.
  std::vector<double> differences(kResamples);
  Philox random(seed, kBootstrapStream);
  const auto n_a = static_cast<uint64_t>(test.only_a_right);
  const auto n_discordant = n_a + static_cast<uint64_t>(test.only_b_right);
  for (double& difference : differences) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      const uint64_t pick = random.below(static_cast<uint64_t>(n));
      if (pick < n_discordant) sum += pick < n_a ? -1 : 1;
    }
    difference = static_cast<double>(sum) / static_cast<double>(n);
  }
  std::sort(differences.begin(), differences.end());
  test.ci95_low = differences[static_cast<size_t>(0.025 * (kResamples - 1))];
  test.ci95_high = differences[static_cast<size_t>(std::ceil(0.975 * (kResamples - 1)))];
  return test;
}

}  // namespace fettle
