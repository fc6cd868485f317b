#include "train/class_weights.h"

#include <algorithm>

#include "base/error.h"

namespace fettle {
namespace {

std::vector<float> balanced_weights(size_t n_classes, std::span<const int32_t> labels) {
  std::vector<int64_t> counts(n_classes, 0);
  int64_t n = 0;
  for (const int32_t label : labels) {
    if (label < 0) continue;
    ++counts[static_cast<size_t>(label)];
    ++n;
  }
  const auto n_there = static_cast<double>(n_classes) - static_cast<double>(std::ranges::count(counts, int64_t{0}));
  std::vector<float> weights(n_classes, 1);
  for (size_t c = 0; c < n_classes; ++c) {
    if (counts[c] == 0) continue;
    weights[c] = static_cast<float>(static_cast<double>(n) / (n_there * static_cast<double>(counts[c])));
  }
  return weights;
}

}  // namespace

std::vector<float> weigh_classes(const ClassWeights& wanted, std::span<const std::string> names,
                                 std::span<const int32_t> labels) {
  if (!wanted.is_set()) return {};
  if (wanted.balanced) return balanced_weights(names.size(), labels);
  std::vector<float> weights(names.size(), 1);
  std::vector<bool> given(names.size(), false);
  for (const auto& [label, weight] : wanted.by_label) {
    const auto found = std::ranges::find(names, label);
    if (found == names.end()) usage_error("class weights", "the model does not have the label '" + label + "'");
    const auto id = static_cast<size_t>(found - names.begin());
    if (given[id]) usage_error("class weights", "the label '" + label + "' is there twice");
    given[id] = true;
    weights[id] = static_cast<float>(weight);
  }
  return weights;
}

}  // namespace fettle
