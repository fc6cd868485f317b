// Accuracy and its relatives.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "evaluate/metrics.h"

namespace fettle {

namespace {

constexpr int kCalibrationBins = 15;
constexpr double kTie = 1e-12;  // below the weight of one example, above what rounding makes of equal gains

struct ClassCounts {
  int64_t true_positive = 0;
  int64_t predicted = 0;
  int64_t actual = 0;

  double f1() const {
    return predicted + actual == 0 ? 0
                                   : 2.0 * static_cast<double>(true_positive) / static_cast<double>(predicted + actual);
  }
};

double ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

double calibration_error(const Predictions& predictions, const Dataset& data) {
  std::array<double, kCalibrationBins> confidence{};
  std::array<double, kCalibrationBins> right{};
  for (size_t i = 0; i < data.examples.size(); ++i) {
    const float score = predictions.scores[i];
    const int bin = std::clamp(static_cast<int>(score * kCalibrationBins), 0, kCalibrationBins - 1);
    confidence[bin] += score;
    right[bin] += predictions.labels[i] == data.examples[i].label ? 1 : 0;
  }
  double error = 0;
  for (int bin = 0; bin < kCalibrationBins; ++bin) error += std::abs(confidence[bin] - right[bin]);
  return error / static_cast<double>(std::max<size_t>(1, data.examples.size()));
}

}  // namespace

void require_labels(const Dataset& data) {
  const auto found =
      std::find_if(data.examples.begin(), data.examples.end(), [](const auto& e) { return e.label < 0; });
  if (found == data.examples.end()) return;
  const auto number = found - data.examples.begin() + 1;
  bad_input(data.source, "example " + std::to_string(number) + " has no label", "evaluation needs labels");
}

Quality measure_quality(const Predictions& predictions, const Dataset& data) {
  if (predictions.labels.size() != data.examples.size()) failed("evaluate", "predictions and data differ in length");
  require_labels(data);
  std::vector<ClassCounts> classes(std::max(static_cast<size_t>(predictions.n_labels), data.labels.size()));
  int64_t n_right = 0;
  int64_t n_in_scope = 0;
  int64_t n_in_scope_right = 0;
  for (size_t i = 0; i < data.examples.size(); ++i) {
    const int32_t truth = data.examples[i].label;
    const int32_t predicted = predictions.labels[i];
    const bool right = truth == predicted;
    n_right += right;
    ++classes[static_cast<size_t>(truth)].actual;
    ++classes[static_cast<size_t>(predicted)].predicted;
    if (right) ++classes[static_cast<size_t>(truth)].true_positive;
    if (truth != data.oos_label) {
      ++n_in_scope;
      n_in_scope_right += right;
    }
  }

  Quality quality;
  quality.n = static_cast<int64_t>(data.examples.size());
  quality.accuracy = ratio(n_right, quality.n);
  quality.in_scope_accuracy = ratio(n_in_scope_right, n_in_scope);
  if (quality.n > n_in_scope) {
    const ClassCounts& oos = classes[static_cast<size_t>(data.oos_label)];
    quality.oos_recall = ratio(oos.true_positive, oos.actual);
    quality.oos_f1 = oos.f1();
  }
  int64_t n_present = 0;
  for (const ClassCounts& counts : classes) {
    if (counts.actual == 0) continue;
    quality.macro_f1 += counts.f1();
    ++n_present;
  }
  quality.macro_f1 /= static_cast<double>(std::max<int64_t>(1, n_present));
  quality.ece = calibration_error(predictions, data);
  return quality;
}

Predictions apply_threshold(const Predictions& predictions, double threshold, int32_t oos_label) {
  Predictions result = predictions;
  if (std::isnan(threshold) || oos_label < 0) return result;
  for (size_t i = 0; i < result.labels.size(); ++i) {
    if (result.scores[i] < threshold) result.labels[i] = oos_label;
  }
  return result;
}

double fit_oos_threshold(const Predictions& predictions, const Dataset& validation, double oos_share) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  if (validation.oos_label < 0) return none;
  const auto n = static_cast<int64_t>(predictions.labels.size());
  const int64_t n_oos = std::count_if(validation.examples.begin(), validation.examples.end(),
                                      [&](const Example& e) { return e.label == validation.oos_label; });
  if (n_oos == 0 || n_oos == n) return none;
  const double share = std::isnan(oos_share) ? ratio(n_oos, n) : oos_share;
  const double oos_weight = share / static_cast<double>(n_oos);
  const double in_scope_weight = (1 - share) / static_cast<double>(n - n_oos);

  std::vector<size_t> order(predictions.labels.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return predictions.scores[a] != predictions.scores[b] ? predictions.scores[a] < predictions.scores[b] : a < b;
  });

  // Walking the scores upwards, each example turns from its argmax to out-of-scope.
  int64_t oos_won = 0;
  int64_t in_scope_lost = 0;
  double best_gain = 0;
  double best = none;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const size_t i = order[rank];
    const int32_t truth = validation.examples[i].label;
    const bool was_right = truth == predictions.labels[i];
    if (truth == validation.oos_label) {
      oos_won += was_right ? 0 : 1;
    } else {
      in_scope_lost += was_right ? 1 : 0;
    }
    const bool last = rank + 1 == order.size();
    if (!last && predictions.scores[order[rank + 1]] == predictions.scores[i]) continue;
    const double gain =
        static_cast<double>(oos_won) * oos_weight - static_cast<double>(in_scope_lost) * in_scope_weight;
    if (gain > best_gain + kTie) {
      best_gain = gain;
      const double next = last ? 1.0 : predictions.scores[order[rank + 1]];
      best = (predictions.scores[i] + next) / 2;
    }
  }
  return best;
}

}  // namespace fettle
