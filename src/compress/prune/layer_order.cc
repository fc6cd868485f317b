#include "compress/prune/layer_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace fettle {
namespace {

std::vector<int64_t> alternate(int64_t n) {
  std::vector<int64_t> order;
  for (int64_t i = n - 2; i >= 0; i -= 2) order.push_back(i);
  for (int64_t i = n - 3; i >= 0; i -= 2) order.push_back(i);
  order.push_back(n - 1);
  return order;
}

}  // namespace

std::vector<int64_t> layer_order(std::string_view rule, int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (rule == "bottom") return order;
  if (rule == "alternate") return alternate(n);
  if (rule == "top") {
    std::ranges::reverse(order);
    return order;
  }
  if (rule == "symmetric") {
    // Twice the distance from the middle; of equal ones the lower.
    std::ranges::stable_sort(order, {}, [n](int64_t i) { return std::abs(2 * i - (n - 1)); });
    return order;
  }
  usage_error("layers", fmt::format("'{}' is not known", rule), "top, bottom, alternate, symmetric, contribution");
}

std::vector<int64_t> layer_order(const std::vector<double>& contribution) {
  std::vector<int64_t> order(contribution.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::reverse(order);
  std::ranges::stable_sort(order, {}, [&](int64_t i) { return contribution[static_cast<size_t>(i)]; });
  return order;
}

int64_t layers_to_drop(double share, int64_t n) {
  const auto n_drop = static_cast<int64_t>(std::llround(share * static_cast<double>(n)));
  if (n_drop > 0 && n_drop < n) return n_drop;
  usage_error("target", fmt::format("{:.4g} of {} layers is {} of them", share, n, n_drop == 0 ? "none" : "all"));
}

std::vector<int64_t> layers_left(const std::vector<int64_t>& order, int64_t n_drop) {
  std::vector<int64_t> left(order.begin() + n_drop, order.end());
  std::ranges::sort(left);
  return left;
}

}  // namespace fettle
