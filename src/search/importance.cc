#include "search/importance.h"

#include <algorithm>
#include <numeric>

#include "base/philox.h"

namespace fettle {
namespace {

constexpr uint64_t kForestStream = 0x464f5245ull << 32;

using Point = std::vector<double>;  // [parameters], each in [0, 1)

// A box of the space, [low, high) in each parameter, where a tree predicts one value.
struct Leaf {
  Point low;
  Point high;
  double value = 0;

  double volume() const {
    double volume = 1;
    for (size_t d = 0; d < low.size(); ++d) volume *= high[d] - low[d];
    return volume;
  }
};

struct Split {
  size_t dimension = 0;
  double place = 0;
  double gain = 0;
};

// Choices and whole numbers own a stretch of [0, 1) each, of which this is the middle.
double unit_place(const Parameter& parameter, double value) {
  if (parameter.kind == ParameterKind::kCategorical) {
    return (value + 0.5) / static_cast<double>(parameter.n_choices());
  }
  const double low = search_low(parameter);
  return (to_search(parameter, value) - low) / (search_high(parameter) - low);
}

class TreeBuilder {
 public:
  TreeBuilder(const std::vector<Point>& points, const std::vector<double>& values, const ImportanceOptions& options)
      : points_(points), values_(values), options_(options) {}

  std::vector<Leaf> build(std::vector<size_t> rows) {
    const size_t n_dimensions = points_[0].size();
    grow(std::move(rows), {Point(n_dimensions, 0.0), Point(n_dimensions, 1.0)}, 0);
    return std::move(leaves_);
  }

 private:
  void grow(std::vector<size_t> rows, Leaf box, int64_t depth) {
    const Split split = depth < options_.max_depth ? best_split(rows) : Split{};
    if (split.gain <= 0) {
      for (size_t row : rows) box.value += values_[row] / static_cast<double>(rows.size());
      leaves_.push_back(std::move(box));
      return;
    }
    std::vector<size_t> left;
    std::vector<size_t> right;
    for (size_t row : rows) (points_[row][split.dimension] < split.place ? left : right).push_back(row);
    Leaf upper = box;
    box.high[split.dimension] = upper.low[split.dimension] = split.place;
    grow(std::move(left), std::move(box), depth + 1);
    grow(std::move(right), std::move(upper), depth + 1);
  }

  // The cut that lowers the sum of squares most; of equal ones the first.
  Split best_split(std::vector<size_t> rows) const {
    Split best;
    const size_t n = rows.size();
    double total = 0;
    for (size_t row : rows) total += values_[row];
    for (size_t d = 0; d < points_[0].size(); ++d) {
      std::stable_sort(rows.begin(), rows.end(), [&](size_t a, size_t b) { return points_[a][d] < points_[b][d]; });
      double sum = 0;
      for (size_t i = 1; i < n; ++i) {
        sum += values_[rows[i - 1]];
        const double before = points_[rows[i - 1]][d];
        const double after = points_[rows[i]][d];
        const auto n_left = static_cast<double>(i);
        const auto n_right = static_cast<double>(n - i);
        if (before == after || std::min(i, n - i) < static_cast<size_t>(options_.min_leaf)) continue;
        const double rest = total - sum;
        const double gain =
            sum * sum / n_left + rest * rest / n_right - total * total / static_cast<double>(n) - kLeastGain;
        const double middle = 0.5 * (before + after);
        if (gain > best.gain) best = {d, middle > before ? middle : after, gain};
      }
    }
    return best;
  }

  static constexpr double kLeastGain = 1e-14;
  const std::vector<Point>& points_;
  const std::vector<double>& values_;
  const ImportanceOptions& options_;
  std::vector<Leaf> leaves_;
};

double variance(const std::vector<Leaf>& leaves) {
  double mean = 0;
  double square = 0;
  for (const Leaf& leaf : leaves) {
    mean += leaf.volume() * leaf.value;
    square += leaf.volume() * leaf.value * leaf.value;
  }
  return square - mean * mean;
}

// Variance of the tree's mean over all other parameters, as a function of parameter `d`.
double marginal_variance(const std::vector<Leaf>& leaves, size_t d) {
  std::vector<double> edges;
  for (const Leaf& leaf : leaves) edges.push_back(leaf.low[d]);
  edges.push_back(1);
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  std::vector<double> marginal(edges.size() - 1, 0.0);
  for (const Leaf& leaf : leaves) {
    const double share = leaf.volume() / (leaf.high[d] - leaf.low[d]);
    auto place = std::lower_bound(edges.begin(), edges.end(), leaf.low[d]) - edges.begin();
    for (; edges[static_cast<size_t>(place)] < leaf.high[d]; ++place) {
      marginal[static_cast<size_t>(place)] += share * leaf.value;
    }
  }
  double mean = 0;
  double square = 0;
  for (size_t i = 0; i < marginal.size(); ++i) {
    const double width = edges[i + 1] - edges[i];
    mean += width * marginal[i];
    square += width * marginal[i] * marginal[i];
  }
  return square - mean * mean;
}

}  // namespace

std::vector<double> parameter_importance(const Space& space, std::span<const Trial> trials, size_t goal, uint64_t seed,
                                         const ImportanceOptions& options) {
  std::vector<Point> points;
  std::vector<double> values;
  for (const Trial& trial : trials) {
    if (trial.state != TrialState::kComplete) continue;
    Point point;
    for (size_t d = 0; d < space.size(); ++d) point.push_back(unit_place(space.parameters[d], trial.parameters[d]));
    points.push_back(std::move(point));
    values.push_back(trial.values[goal]);
  }
  if (static_cast<int64_t>(points.size()) < options.least_trials) return {};
  // Scaled, so that what counts as a gain does not depend on the unit.
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  std::vector<double> shares(space.size(), 0.0);
  const double from = *low;
  const double range = *high - from;
  if (range <= 0) return shares;
  for (double& value : values) value = (value - from) / range;

  int64_t n_trees = 0;
  for (int64_t t = 0; t < options.n_trees; ++t) {
    Philox random(seed, kForestStream + static_cast<uint64_t>(t));
    std::vector<size_t> rows(points.size());
    for (size_t& row : rows) row = random.below(points.size());
    const std::vector<Leaf> leaves = TreeBuilder(points, values, options).build(std::move(rows));
    const double total = variance(leaves);
    if (total <= 0) continue;
    ++n_trees;
    for (size_t d = 0; d < space.size(); ++d) shares[d] += marginal_variance(leaves, d) / total;
  }
  for (double& share : shares) share = std::clamp(share / static_cast<double>(std::max<int64_t>(1, n_trees)), 0.0, 1.0);
  return shares;
}

}  // namespace fettle
