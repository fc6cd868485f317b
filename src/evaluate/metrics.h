// Quality of predictions, and whether two models really differ.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "runtime/session_group.h"

namespace fettle {

struct Predictions {
  std::vector<int32_t> labels;  // [n] by argmax, or the out-of-scope class when the score is below the threshold
  std::vector<float> scores;    // [n] softmax of the argmax label
  std::vector<float> logits;    // [n, n_labels]
  int64_t n_labels = 0;
};

// Batches by length; the order of the result is that of the data.
Predictions predict(Session& session, const Dataset& data, int64_t batch_size = 64);
// The same on all cores of a group, in the regime given, or in the one that is measured to be faster on the first
// batches: then `choice` (may be null) says what was measured. The predictions are the same bytes in each.
Predictions predict(SessionGroup& group, const Dataset& data, std::optional<Regime> regime, RegimeChoice* choice,
                    int64_t batch_size = 64);

// Out-of-scope fallback: predicts `oos_label` where the score is below `threshold` (NaN: no change).
Predictions apply_threshold(const Predictions& predictions, double threshold, int32_t oos_label);
// The threshold on the softmax score that maximizes accuracy on validation data; NaN when none improves on argmax.
// `oos_share`, in (0, 1), is the share of out-of-scope queries to expect in use: the validation examples are weighted
// so that they have it. NaN: as they are. A test set (or a service) with more of them than the validation set needs a
// higher threshold, as any decision under another prior does (Saerens, Latinne & Decaestecker 2002).
double fit_oos_threshold(const Predictions& predictions, const Dataset& validation,
                         double oos_share = std::numeric_limits<double>::quiet_NaN());
// Predicts `validation` with the model and sets its oos_threshold so; NaN when the data has no out-of-scope class.
void fit_oos_threshold(Model& model, const Dataset& validation, const SessionOptions& session, double oos_share);

struct Quality {
  double accuracy = 0;
  double in_scope_accuracy = 0;  // over examples whose label is not out of scope
  double oos_recall = -1;        // -1 without out-of-scope examples
  double oos_f1 = -1;
  double macro_f1 = 0;
  double ece = 0;  // expected calibration error, 15 equal bins
  int64_t n = 0;
};
// kBadInput naming the first example without a label.
void require_labels(const Dataset& data);
Quality measure_quality(const Predictions& predictions, const Dataset& data);

struct PairedTest {
  double accuracy_difference = 0;  // b - a
  double ci95_low = 0;             // paired bootstrap, percentile, 10,000 resamples, seeded
  double ci95_high = 0;
  double mcnemar_p = 1;  // exact, two-sided
  int64_t only_a_right = 0;
  int64_t only_b_right = 0;
};
PairedTest compare_predictions(std::span<const int32_t> a, std::span<const int32_t> b, std::span<const int32_t> truth,
                               uint64_t seed = 0);
// How far logits keep their direction: Σ a b / √(Σ a² · Σ b²). 1 where all are equal.
struct LogitCosine {
  double all = 1;    // of all logits of all examples as one vector
  double worst = 1;  // of the example where it is least
};
// kFailed when there are not as many logits in both; zeros against zeros count as equal.
LogitCosine compare_logits(const Predictions& a, const Predictions& b);
// Exact two-sided McNemar test: binomial(n = b + c, 1/2), p = min(1, 2 · P(X <= min(b, c))).
double mcnemar_exact(int64_t b, int64_t c);

}  // namespace fettle
