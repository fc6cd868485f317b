#include "data/scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace fettle {
namespace {

struct Counts {
  int64_t right = 0;
  int64_t predicted = 0;
  int64_t actual = 0;

  double f1() const {
    const int64_t all = predicted + actual;
    return all == 0 ? 1 : 2 * static_cast<double>(right) / static_cast<double>(all);
  }
};

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const double mean_a = mean_of(a);
  const double mean_b = mean_of(b);
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

// From 1; equal values have the mean of their ranks.
std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double rank = (static_cast<double>(begin + end) + 1) / 2;
    for (; begin < end; ++begin) ranks[order[begin]] = rank;
  }
  return ranks;
}

}  // namespace

LabelSetScores score_label_sets(std::span<const float> logits, int64_t n_labels, const Dataset& data) {
  if (logits.size() != data.examples.size() * static_cast<size_t>(n_labels)) failed("scores", "sizes differ");
  std::vector<Counts> by_label(static_cast<size_t>(n_labels));
  LabelSetScores scores;
  int64_t n_whole = 0;
  for (size_t i = 0; i < data.examples.size(); ++i) {
    const auto& truth = data.examples[i].label_set;
    if (!truth) continue;
    ++scores.n;
    bool whole = true;
    for (int64_t c = 0; c < n_labels; ++c) {
      Counts& counts = by_label[static_cast<size_t>(c)];
      const bool predicted = logits[i * static_cast<size_t>(n_labels) + static_cast<size_t>(c)] > 0;
      const bool actual = std::ranges::binary_search(*truth, static_cast<int32_t>(c));
      counts.predicted += predicted;
      counts.actual += actual;
      counts.right += predicted && actual;
      whole = whole && predicted == actual;
    }
    n_whole += whole;
  }
  if (scores.n == 0) return scores;
  Counts all;
  int64_t n_seen = 0;
  for (const Counts& counts : by_label) {
    all.right += counts.right;
    all.predicted += counts.predicted;
    all.actual += counts.actual;
    if (counts.predicted + counts.actual == 0) continue;
    scores.macro_f1 += counts.f1();
    ++n_seen;
  }
  scores.micro_f1 = all.f1();
  scores.macro_f1 = n_seen == 0 ? 1 : scores.macro_f1 / static_cast<double>(n_seen);
  scores.subset_accuracy = static_cast<double>(n_whole) / static_cast<double>(scores.n);
  return scores;
}

NumberScores score_numbers(std::span<const float> predicted, const Dataset& data) {
  if (predicted.size() != data.examples.size()) failed("scores", "sizes differ");
  std::vector<double> values;
  std::vector<double> truth;
  for (size_t i = 0; i < predicted.size(); ++i) {
    if (std::isnan(data.examples[i].number)) continue;
    values.push_back(static_cast<double>(predicted[i]));
    truth.push_back(data.examples[i].number);
  }
  NumberScores scores;
  scores.n = static_cast<int64_t>(truth.size());
  if (scores.n == 0) return scores;
  const double mean = mean_of(truth);
  double variance = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    scores.mse += (values[i] - truth[i]) * (values[i] - truth[i]);
    variance += (truth[i] - mean) * (truth[i] - mean);
  }
  scores.r2 = variance > 0 ? 1 - scores.mse / variance : 0;
  scores.mse /= static_cast<double>(scores.n);
  scores.pearson = correlation(values, truth);
  scores.spearman = correlation(ranks_of(values), ranks_of(truth));
  return scores;
}

}  // namespace fettle
