// How good label sets and numbers are that a model predicts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "data/dataset.h"

namespace fettle {

// A label is predicted where its logit is above 0: its probability, the sigmoid, is above 1/2.
struct LabelSetScores {
  double micro_f1 = 0;         // 2 · right / (predicted + true), over all labels of all examples; 1 when all are empty
  double macro_f1 = 0;         // mean over the labels that are predicted or true somewhere
  double subset_accuracy = 0;  // share of the examples whose whole set is right
  int64_t n = 0;               // examples
};
// logits [n, n_labels], one row for each example of the data. Examples without a label set do not count.
LabelSetScores score_label_sets(std::span<const float> logits, int64_t n_labels, const Dataset& data);

struct NumberScores {
  double mse = 0;
  double r2 = 0;        // 1 - mse / variance of the true numbers; 0 where these are all the same
  double pearson = 0;   // correlation; 0 where one side is constant
  double spearman = 0;  // of the ranks, equal numbers sharing theirs
  int64_t n = 0;
};
// predicted [n], one for each example. Examples without a number do not count.
NumberScores score_numbers(std::span<const float> predicted, const Dataset& data);

}  // namespace fettle
