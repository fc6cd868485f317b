#include "compress/quantize/mixed.h"

#include <fettle/error.h>
#include <fmt/format.h>

#include <algorithm>

namespace fettle {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

struct Point {
  const EncodedTensor* encoded = nullptr;  // null: as it is
  double kl = 0;
  int64_t size_bytes = 0;
};

// One weight's choices from the largest to the smallest, those left out that another or a mixture of two is better
// than.
struct Hull {
  std::string name;
  std::vector<Point> points;
  Point narrowest;  // of all choices
};

// More divergence for each byte saved the further one goes.
double price(const Point& from, const Point& to) {
  return (to.kl - from.kl) / static_cast<double>(from.size_bytes - to.size_bytes);
}

Hull hull_of(const std::string& name, std::vector<Point> points) {
  std::ranges::stable_sort(points, [](const Point& a, const Point& b) { return a.size_bytes > b.size_bytes; });
  Hull hull{name, {}, points.back()};
  for (const Point& point : points) {
    // Not larger, and no worse: what was there is not needed.
    while (!hull.points.empty() && point.kl <= hull.points.back().kl) hull.points.pop_back();
    if (!hull.points.empty() && point.size_bytes == hull.points.back().size_bytes) continue;
    while (hull.points.size() >= 2 &&
           price(hull.points.back(), point) <= price(hull.points[hull.points.size() - 2], hull.points.back())) {
      hull.points.pop_back();
    }
    hull.points.push_back(point);
  }
  return hull;
}

struct Move {
  size_t hull;
  size_t to;  // point
  double price;
};

class Chooser {
 public:
  Chooser(LogitProbe& probe, const Model& model, const std::vector<WeightChoice>& choices) : probe_(probe) {
    int64_t bytes = model.parameters.size_bytes();
    for (size_t begin = 0; begin < choices.size();) {
      const std::string& name = choices[begin].name;
      std::vector<Point> points{{nullptr, 0, model.parameters.get(name).size_bytes()}};
      bytes -= points[0].size_bytes;
      for (; begin < choices.size() && choices[begin].name == name; ++begin) {
        points.push_back({&choices[begin].encoded, choices[begin].kl, choices[begin].encoded.size_bytes()});
      }
      hulls_.push_back(hull_of(name, std::move(points)));
    }
    rest_bytes_ = bytes;
    for (size_t h = 0; h < hulls_.size(); ++h) {
      for (size_t p = 1; p < hulls_[h].points.size(); ++p) {
        moves_.push_back({h, p, price(hulls_[h].points[p - 1], hulls_[h].points[p])});
      }
    }
    std::ranges::stable_sort(moves_, [](const Move& a, const Move& b) { return a.price < b.price; });
  }

  size_t n_moves() const { return moves_.size(); }

  std::vector<const Point*> after(size_t n) const {
    std::vector<const Point*> chosen;
    for (const Hull& hull : hulls_) chosen.push_back(&hull.points[0]);
    for (size_t m = 0; m < n; ++m) chosen[moves_[m].hull] = &hulls_[moves_[m].hull].points[moves_[m].to];
    return chosen;
  }

  double size_mb(size_t n) const {
    int64_t bytes = rest_bytes_;
    for (const Point* point : after(n)) bytes += point->size_bytes;
    return static_cast<double>(bytes) / kMiB;
  }

  double kl(size_t n) {
    std::map<std::string, const EncodedTensor*> weights;
    const std::vector<const Point*> chosen = after(n);
    for (size_t h = 0; h < hulls_.size(); ++h) {
      if (chosen[h]->encoded != nullptr) weights[hulls_[h].name] = chosen[h]->encoded;
    }
    return probe_.kl(weights);
  }

  MixedResult result(size_t n, const Model& model) {
    MixedResult result;
    result.kl = kl(n);
    result.size_mb = size_mb(n);
    const std::vector<const Point*> chosen = after(n);
    std::vector<size_t> order;
    for (size_t h = 0; h < hulls_.size(); ++h) order.push_back(h);
    std::ranges::stable_sort(order,
                             [&](size_t a, size_t b) { return hulls_[a].narrowest.kl > hulls_[b].narrowest.kl; });
    for (const size_t h : order) {
      const Hull& hull = hulls_[h];
      const Point& point = *chosen[h];
      const EncodedTensor& stored = point.encoded != nullptr ? *point.encoded : model.parameters.get(hull.name);
      if (point.encoded != nullptr) result.plan[hull.name] = point.encoded->encoding;
      result.kl_sum += point.kl;
      MixedLayer layer{hull.name, encoding_name(stored.encoding), point.kl, point.size_bytes, ""};
      if (point.size_bytes > hull.narrowest.size_bytes && hull.narrowest.encoded != nullptr) {
        layer.remark = fmt::format("{} would diverge by {:.2e} instead of {:.2e}",
                                   encoding_name(hull.narrowest.encoded->encoding), hull.narrowest.kl, point.kl);
      }
      result.layers.push_back(std::move(layer));
    }
    return result;
  }

 private:
  LogitProbe& probe_;
  std::vector<Hull> hulls_;
  std::vector<Move> moves_;
  int64_t rest_bytes_ = 0;  // of all other parameters
};

[[noreturn]] void not_met(const std::string& detail, const std::string& hint) {
  throw Error(ErrorCode::kConstraints, "quantize", detail, hint);
}

// The first number of moves that is small enough.
size_t moves_for_size(const Chooser& chooser, double max_mb) {
  for (size_t n = 0; n <= chooser.n_moves(); ++n) {
    if (chooser.size_mb(n) <= max_mb) return n;
  }
  not_met(fmt::format("--max-mb {:.2f} cannot be met: the fewest bits give {:.2f} MiB", max_mb,
                      chooser.size_mb(chooser.n_moves())),
          "allow fewer bits, larger groups, or --embeddings");
}

// The largest number of moves, of those in between where the divergence rises, that stays below.
size_t moves_for_kl(Chooser& chooser, double max_kl) {
  size_t good = 0;
  size_t bad = chooser.n_moves() + 1;
  while (bad - good > 1) {
    const size_t middle = good + (bad - good) / 2;
    (chooser.kl(middle) <= max_kl ? good : bad) = middle;
  }
  return good;
}

}  // namespace

MixedResult choose_mixed(LogitProbe& probe, const Model& model, const std::vector<WeightChoice>& choices,
                         const MixedOptions& options) {
  Chooser chooser(probe, model, choices);
  if (options.max_mb <= 0) {
    const size_t n = options.max_kl > 0 ? moves_for_kl(chooser, options.max_kl) : chooser.n_moves();
    return chooser.result(n, model);
  }
  MixedResult result = chooser.result(moves_for_size(chooser, options.max_mb), model);
  if (options.max_kl > 0 && result.kl > options.max_kl) {
    not_met(fmt::format("at {:.2f} MiB the divergence is {:.2e}, above --max-kl {:.2e}", result.size_mb, result.kl,
                        options.max_kl),
            "relax --max-mb or --max-kl");
  }
  return result;
}

}  // namespace fettle
