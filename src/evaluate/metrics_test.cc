// Quality, thresholds and paired tests against values worked out by hand or in exact arithmetic.
#include "evaluate/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"

namespace fettle {
namespace {

Predictions predicted(std::vector<int32_t> labels, std::vector<float> scores, int64_t n_labels) {
  Predictions result;
  result.labels = std::move(labels);
  result.scores = std::move(scores);
  result.n_labels = n_labels;
  return result;
}

Dataset labelled(const std::vector<int32_t>& truth, int32_t oos_label) {
  Dataset data;
  data.labels = {"a", "b", "oos"};
  data.oos_label = oos_label;
  for (int32_t label : truth) data.examples.push_back({"text", "", label});
  return data;
}

// Sums of binomial coefficients as exact fractions (Python's fractions), rounded to double.
TEST(McNemar, EqualsExactArithmetic) {
  EXPECT_DOUBLE_EQ(mcnemar_exact(0, 0), 1);
  EXPECT_NEAR(mcnemar_exact(0, 5), 0.0625, 1e-14);
  EXPECT_NEAR(mcnemar_exact(1, 9), 0.021484375, 1e-14);
  EXPECT_DOUBLE_EQ(mcnemar_exact(5, 5), 1);
  EXPECT_NEAR(mcnemar_exact(30, 50), 0.03299261842647618, 1e-13);
  EXPECT_NEAR(mcnemar_exact(170, 120), 0.003933336512825177, 1e-13);
  EXPECT_NEAR(mcnemar_exact(900, 1100) / 8.457089535503927e-06, 1, 1e-9);
}

TEST(PairedTest, CountsAndInterval) {
  // 1,000 pairs: 60 only b right, 40 only a right, the rest alike.
  std::vector<int32_t> truth(1000, 0);
  std::vector<int32_t> a(1000, 0);
  std::vector<int32_t> b(1000, 0);
  for (size_t i = 0; i < 60; ++i) a[i] = 1;
  for (size_t i = 60; i < 100; ++i) b[i] = 1;
  const PairedTest test = compare_predictions(a, b, truth, 7);
  EXPECT_EQ(test.only_b_right, 60);
  EXPECT_EQ(test.only_a_right, 40);
  EXPECT_DOUBLE_EQ(test.accuracy_difference, 0.02);
  EXPECT_DOUBLE_EQ(test.mcnemar_p, mcnemar_exact(60, 40));
  // The standard error of the difference is sqrt((60 + 40)/n - 0.02²) / sqrt(n).
  const double error = std::sqrt((0.1 - 0.02 * 0.02) / 1000);
  EXPECT_NEAR(test.ci95_low, 0.02 - 1.96 * error, 0.002);
  EXPECT_NEAR(test.ci95_high, 0.02 + 1.96 * error, 0.002);
  const PairedTest again = compare_predictions(a, b, truth, 7);
  EXPECT_EQ(test.ci95_low, again.ci95_low);
  EXPECT_EQ(test.ci95_high, again.ci95_high);
}

TEST(PairedTest, EqualPredictionsDifferInNothing) {
  const std::vector<int32_t> truth = {0, 1, 2, 1};
  const std::vector<int32_t> same = {0, 1, 1, 1};
  const PairedTest test = compare_predictions(same, same, truth);
  EXPECT_EQ(test.mcnemar_p, 1);
  EXPECT_EQ(test.ci95_low, 0);
  EXPECT_EQ(test.ci95_high, 0);
  EXPECT_THROW(compare_predictions(same, same, std::vector<int32_t>{0}), Error);
}

Predictions with_logits(std::vector<float> logits, int64_t n_labels) {
  Predictions predictions;
  predictions.logits = std::move(logits);
  predictions.n_labels = n_labels;
  return predictions;
}

TEST(LogitCosine, ByHand) {
  // Examples (3, 4) against (4, 3), which have cosine 24/25, and (0, 10) against itself.
  const LogitCosine cosine = compare_logits(with_logits({3, 4, 0, 10}, 2), with_logits({4, 3, 0, 10}, 2));
  EXPECT_NEAR(cosine.worst, 24.0 / 25, 1e-12);
  EXPECT_NEAR(cosine.all, 124.0 / 125, 1e-12);
  const LogitCosine opposite = compare_logits(with_logits({1, -2}, 2), with_logits({-1, 2}, 2));
  EXPECT_EQ(opposite.all, -1);
  EXPECT_EQ(opposite.worst, -1);
}

TEST(LogitCosine, OfZerosAndNothing) {
  EXPECT_EQ(compare_logits(with_logits({0, 0}, 2), with_logits({0, 0}, 2)).worst, 1);
  EXPECT_EQ(compare_logits(with_logits({0, 0}, 2), with_logits({1, 0}, 2)).worst, 0);
  EXPECT_EQ(compare_logits(with_logits({}, 2), with_logits({}, 2)).all, 1);
  EXPECT_THROW(compare_logits(with_logits({1, 2}, 2), with_logits({1, 2, 3}, 3)), Error);
}

TEST(Quality, ByHand) {
  //                                truth:  a  a  b  b  oos oos
  const Predictions predictions = predicted({0, 1, 1, 1, 2, 0}, {.95f, .55f, .95f, .95f, .95f, .55f}, 3);
  const Quality quality = measure_quality(predictions, labelled({0, 0, 1, 1, 2, 2}, 2));
  EXPECT_EQ(quality.n, 6);
  EXPECT_DOUBLE_EQ(quality.accuracy, 4.0 / 6);
  EXPECT_DOUBLE_EQ(quality.in_scope_accuracy, 0.75);
  EXPECT_DOUBLE_EQ(quality.oos_recall, 0.5);
  EXPECT_DOUBLE_EQ(quality.oos_f1, 2.0 / 3);
  // F1 of a: 2·1/(2+2), of b: 2·2/(3+2), of oos: 2·1/(1+2).
  EXPECT_DOUBLE_EQ(quality.macro_f1, (0.5 + 0.8 + 2.0 / 3) / 3);
  // Four in the bin of 0.95, all right; two in that of 0.55, none right.
  EXPECT_NEAR(quality.ece, (4 * 0.05 + 2 * 0.55) / 6, 1e-6);
}

TEST(Quality, WithoutOutOfScopeExamples) {
  const Quality quality = measure_quality(predicted({0, 1}, {.9f, .9f}, 2), labelled({0, 0}, -1));
  EXPECT_EQ(quality.oos_recall, -1);
  EXPECT_EQ(quality.oos_f1, -1);
  EXPECT_DOUBLE_EQ(quality.in_scope_accuracy, 0.5);
  EXPECT_THROW(measure_quality(predicted({0, 1}, {.9f, .9f}, 2), labelled({0, kUnlabelled}, -1)), Error);
}

TEST(Threshold, TurnsWhatScoresBelowItIntoOutOfScope) {
  const Predictions before = predicted({0, 1, 1}, {.3f, .5f, .9f}, 3);
  EXPECT_EQ(apply_threshold(before, 0.5, 2).labels, (std::vector<int32_t>{2, 1, 1}));
  EXPECT_EQ(apply_threshold(before, std::numeric_limits<double>::quiet_NaN(), 2).labels, before.labels);
  EXPECT_EQ(apply_threshold(before, 0.5, -1).labels, before.labels);
}

TEST(Threshold, MaximizesAccuracy) {
  //                                truth:  oos  oos  a    oos  b    b
  const Predictions predictions = predicted({0, 1, 0, 1, 1, 1}, {.1f, .2f, .3f, .4f, .5f, .9f}, 3);
  const Dataset data = labelled({2, 2, 0, 2, 1, 1}, 2);
  // Two won below 0.3; going on to 0.4 loses one and wins one.
  EXPECT_NEAR(fit_oos_threshold(predictions, data), 0.25, 1e-6);
  EXPECT_TRUE(std::isnan(fit_oos_threshold(predictions, labelled({2, 2, 0, 2, 1, 1}, -1))));
}

TEST(Threshold, NoneWhereNoneHelps) {
  const Predictions predictions = predicted({0, 1, 2}, {.1f, .2f, .3f}, 3);
  EXPECT_TRUE(std::isnan(fit_oos_threshold(predictions, labelled({0, 1, 2}, 2))));
  EXPECT_TRUE(std::isnan(fit_oos_threshold(predictions, labelled({0, 1, 1}, 2)))) << "no example is out of scope";
  EXPECT_TRUE(std::isnan(fit_oos_threshold(predictions, labelled({2, 2, 2}, 2)))) << "all are";
}

TEST(Threshold, RisesWithTheExpectedShare) {
  // Scores 0.00, 0.01, ...; out-of-scope queries become rarer as the score rises.
  std::vector<int32_t> labels;
  std::vector<int32_t> truth;
  std::vector<float> scores;
  for (int i = 0; i < 100; ++i) {
    labels.push_back(0);
    scores.push_back(static_cast<float>(i) / 100);
    const bool out = i < 4 || (i < 20 && i % 2 == 0) || (i < 60 && i % 10 == 0);
    truth.push_back(out ? 2 : 0);
  }
  const Predictions predictions = predicted(labels, scores, 3);
  const Dataset data = labelled(truth, 2);
  const double as_is = fit_oos_threshold(predictions, data);
  const double own_share = fit_oos_threshold(predictions, data, 16.0 / 100);
  const double more = fit_oos_threshold(predictions, data, 0.3);
  const double most = fit_oos_threshold(predictions, data, 0.9);
  EXPECT_EQ(as_is, own_share);
  EXPECT_NEAR(as_is, 0.045, 1e-6);  // up to 4, from there on each one won costs one
  EXPECT_NEAR(more, 0.205, 1e-6);   // one won is worth 0.3/16 · 84/0.7 = 2.25 lost: pays up to 20, not beyond
  EXPECT_NEAR(most, 0.505, 1e-6);   // and here 47
}

}  // namespace
}  // namespace fettle
