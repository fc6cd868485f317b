#include "data/scores.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace fettle {
namespace {

Dataset sets(const std::vector<std::vector<int32_t>>& labels) {
  Dataset data;
  data.label_kind = LabelKind::kSet;
  for (const auto& set : labels) data.examples.push_back({.text = "x", .label_set = set});
  return data;
}

Dataset numbers(const std::vector<double>& values) {
  Dataset data;
  data.label_kind = LabelKind::kNumber;
  for (const double value : values) data.examples.push_back({.text = "x", .number = value});
  return data;
}

// By hand: predicted {0}, {0, 2}, {}; true {0, 1}, {0, 2}, {}.
TEST(LabelSetScores, CountedByHand) {
  const std::vector<float> logits = {3, -1, -2, 0.1f, 0, 5, -1, -1, -1};
  const LabelSetScores scores = score_label_sets(logits, 3, sets({{0, 1}, {0, 2}, {}}));
  EXPECT_EQ(scores.n, 3);
  EXPECT_DOUBLE_EQ(scores.micro_f1, 2 * 3.0 / (3 + 4));
  EXPECT_DOUBLE_EQ(scores.macro_f1, (1.0 + 0 + 1) / 3);
  EXPECT_DOUBLE_EQ(scores.subset_accuracy, 2.0 / 3);
}

TEST(LabelSetScores, WhatHasNoSetDoesNotCount) {
  Dataset data = sets({{0}, {1}});
  data.examples[1].label_set.reset();
  const std::vector<float> logits = {1, -1, 9, 9};
  const LabelSetScores scores = score_label_sets(logits, 2, data);
  EXPECT_EQ(scores.n, 1);
  EXPECT_EQ(scores.micro_f1, 1);
  EXPECT_EQ(score_label_sets(std::vector<float>{-1, -1}, 2, sets({{}})).micro_f1, 1);
  EXPECT_THROW(score_label_sets(logits, 3, data), Error);
}

TEST(NumberScores, OfALine) {
  const NumberScores exact = score_numbers(std::vector<float>{1, 2, 3}, numbers({1, 2, 3}));
  EXPECT_EQ(exact.mse, 0);
  EXPECT_DOUBLE_EQ(exact.r2, 1);
  EXPECT_DOUBLE_EQ(exact.pearson, 1);
  const NumberScores turned = score_numbers(std::vector<float>{3, 2, 1}, numbers({10, 20, 30}));
  EXPECT_DOUBLE_EQ(turned.pearson, -1);
  EXPECT_DOUBLE_EQ(turned.spearman, -1);
  EXPECT_LT(turned.r2, 0);
}

// Anscombe's first set: correlation 0.81642, and with y for a prediction of x the mean square of x - y.
TEST(NumberScores, OfAnscombesQuartet) {
  const std::vector<double> x = {10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5};
  const std::vector<float> y = {8.04f, 6.95f, 7.58f, 8.81f, 8.33f, 9.96f, 7.24f, 4.26f, 10.84f, 4.82f, 5.68f};
  const NumberScores scores = score_numbers(y, numbers(x));
  EXPECT_NEAR(scores.pearson, 0.81642, 1e-5);
  EXPECT_NEAR(scores.spearman, 0.818182, 1e-6);
  double squares = 0;
  for (size_t i = 0; i < x.size(); ++i) squares += std::pow(x[i] - static_cast<double>(y[i]), 2);
  EXPECT_NEAR(scores.mse, squares / 11, 1e-9);
  EXPECT_NEAR(scores.r2, 1 - squares / 110, 1e-9);  // Σ (x - 9)² is 110
}

TEST(NumberScores, TiesConstantsAndAbsentOnes) {
  // Ranks 1.5 1.5 3 and 1 2.5 2.5.
  EXPECT_NEAR(score_numbers(std::vector<float>{1, 1, 2}, numbers({1, 5, 5})).spearman, 0.5, 1e-12);
  const NumberScores constant = score_numbers(std::vector<float>{1, 1}, numbers({2, 2}));
  EXPECT_EQ(constant.pearson, 0);
  EXPECT_EQ(constant.r2, 0);
  EXPECT_EQ(constant.mse, 1);
  EXPECT_EQ(score_numbers(std::vector<float>{1, 1}, numbers({2, std::nan("")})).n, 1);
}

}  // namespace
}  // namespace fettle
