#include "compress/prune/choose.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace fettle {
namespace {

struct Part {
  double density = 0;
  size_t kind = 0;
  size_t layer = 0;
  int64_t index = 0;
};

double cost_of(PartKind kind, const ChoiceOptions& options) {
  const auto found = options.cost.find(kind);
  return found == options.cost.end() ? 1 : found->second;
}

// All parts, the first to go first.
std::vector<Part> ranked(const std::vector<PartScores>& scores, const ChoiceOptions& options) {
  std::vector<Part> parts;
  for (size_t k = 0; k < scores.size(); ++k) {
    const double cost = cost_of(scores[k].kind, options);
    for (size_t layer = 0; layer < scores[k].by_layer.size(); ++layer) {
      const std::vector<double>& mine = scores[k].by_layer[layer];
      for (size_t i = 0; i < mine.size(); ++i) parts.push_back({mine[i] / cost, k, layer, static_cast<int64_t>(i)});
    }
  }
  std::ranges::reverse(parts);
  std::ranges::stable_sort(parts, {}, &Part::density);
  return parts;
}

int64_t least(const PartScores& scores, size_t layer, const ChoiceOptions& options) {
  const auto n = static_cast<int64_t>(scores.by_layer[layer].size());
  return std::min(n, scores.kind == PartKind::kNeurons ? options.neuron_step : 1);
}

// The nearest multiple of the step that the layer can keep.
int64_t rounded(int64_t count, int64_t n, int64_t step) {
  if (step <= 1 || n < step) return count;
  return std::clamp((count + step / 2) / step * step, step, n);
}

using Counts = std::vector<std::vector<int64_t>>;  // [kind][layer]

Counts all_counts(const std::vector<PartScores>& scores) {
  Counts counts;
  for (const PartScores& of_kind : scores) {
    counts.emplace_back();
    for (const auto& layer : of_kind.by_layer) counts.back().push_back(static_cast<int64_t>(layer.size()));
  }
  return counts;
}

Counts global_counts(const std::vector<PartScores>& scores, double cost, const ChoiceOptions& options) {
  Counts left = all_counts(scores);
  double gone = 0;
  for (const Part& part : ranked(scores, options)) {
    const double its_cost = cost_of(scores[part.kind].kind, options);
    if (gone + its_cost / 2 > cost) break;
    int64_t& count = left[part.kind][part.layer];
    if (count <= least(scores[part.kind], part.layer, options)) continue;
    --count;
    gone += its_cost;
  }
  return left;
}

Counts equal_counts(const std::vector<PartScores>& scores, double cost, const ChoiceOptions& options) {
  const double share = cost / total_cost(scores, options);
  Counts left = all_counts(scores);
  for (size_t k = 0; k < left.size(); ++k) {
    for (size_t layer = 0; layer < left[k].size(); ++layer) {
      int64_t& count = left[k][layer];
      if (count == 0) continue;
      const auto stay = static_cast<int64_t>(std::llround((1 - share) * static_cast<double>(count)));
      count = std::max(stay, least(scores[k], layer, options));
    }
  }
  return left;
}

}  // namespace

double total_cost(const std::vector<PartScores>& scores, const ChoiceOptions& options) {
  double total = 0;
  for (const PartScores& of_kind : scores) {
    for (const auto& layer : of_kind.by_layer) {
      total += static_cast<double>(layer.size()) * cost_of(of_kind.kind, options);
    }
  }
  return total;
}

std::vector<std::vector<std::vector<int64_t>>> choose_parts(const std::vector<PartScores>& scores, double cost,
                                                            const ChoiceOptions& options) {
  const Counts counts = options.global ? global_counts(scores, cost, options) : equal_counts(scores, cost, options);
  std::vector<std::vector<std::vector<int64_t>>> kept(scores.size());
  for (size_t k = 0; k < scores.size(); ++k) {
    for (size_t layer = 0; layer < counts[k].size(); ++layer) {
      const std::vector<double>& mine = scores[k].by_layer[layer];
      const auto n = static_cast<int64_t>(mine.size());
      const bool steps = scores[k].kind == PartKind::kNeurons && counts[k][layer] < n;
      const int64_t count = steps ? rounded(counts[k][layer], n, options.neuron_step) : counts[k][layer];
      std::vector<int64_t> order(mine.size());
      std::iota(order.begin(), order.end(), 0);
      std::ranges::stable_sort(order, std::greater<>(), [&](int64_t i) { return mine[static_cast<size_t>(i)]; });
      order.resize(static_cast<size_t>(count));
      std::ranges::sort(order);
      kept[k].push_back(std::move(order));
    }
  }
  return kept;
}

}  // namespace fettle
