// The plots of a search.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "evaluate/svg.h"
#include "search/search_report.h"

namespace fettle {
namespace {

constexpr double kRight = 24;
constexpr double kTop = 16;
constexpr size_t kLongestLabel = 14;

struct Frame {
  double width;
  double height;
  double left = 70;
  double bottom = 52;  // room below

  double right_end() const { return width - kRight; }
  double floor() const { return height - bottom; }
};

constexpr Frame kWide{900, 300};
constexpr Frame kSmall{420, 250, 60};

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool is_empty() const { return low > high; }
  void widen(double share) {
    const double margin = high > low ? share * (high - low) : std::max(0.01, std::abs(high) * 0.02);
    low -= margin;
    high += margin;
  }
};

// What a trial came to: its result, or the last that a pruned one reported.
std::optional<double> shown_value(const Trial& trial) {
  if (trial.state == TrialState::kComplete) return trial.values[0];
  if (trial.state == TrialState::kPruned && !trial.intermediates.empty()) return trial.intermediates.back().value;
  return {};
}

Range value_range(const SearchReport& report) {
  Range range;
  for (const Trial& trial : report.trials) {
    if (const auto value = shown_value(trial)) range.include(*value);
  }
  if (!range.is_empty()) range.widen(0.06);
  return range;
}

std::string begin_svg(const Frame& frame, const std::string& label) {
  return fmt::format(
      "<svg class=\"plot\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" xmlns=\"http://www.w3.org/2000/svg\">",
      frame.width, frame.height, escape_xml(label));
}

std::string y_axis(const Frame& frame, const Axis& y, int n_ticks, const std::string& title) {
  std::string svg;
  for (double tick : y.ticks(n_ticks)) {
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/><text class=\"tick\" x=\"{3}\" "
        "y=\"{4:.1f}\" text-anchor=\"end\">{5}</text>",
        frame.left, frame.right_end(), y(tick), frame.left - 8, y(tick) + 4, tick_label(tick));
  }
  return svg +
         fmt::format("<text class=\"axis\" transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
                     (kTop + frame.floor()) / 2, escape_xml(title));
}

std::string x_tick(const Frame& frame, double x, const std::string& label) {
  return fmt::format(
      "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/><text class=\"tick\" x=\"{0:.1f}\" "
      "y=\"{3}\" text-anchor=\"middle\">{4}</text>",
      x, kTop, frame.floor(), frame.floor() + 18, escape_xml(label));
}

std::string x_axis(const Frame& frame, const Axis& x, int n_ticks, const std::string& title) {
  std::string svg;
  for (double tick : n_ticks > 0 ? x.ticks(n_ticks) : std::vector<double>{})
    svg += x_tick(frame, x(tick), tick_label(tick));
  return svg + fmt::format("<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                           (frame.left + frame.right_end()) / 2, frame.height - 10, escape_xml(title));
}

// Complete trials are full, pruned ones hollow; the best has a ring.
std::string dot(const SearchReport& report, const Trial& trial, double x, double y) {
  const bool pruned = trial.state == TrialState::kPruned;
  const auto place = std::find(report.front.begin(), report.front.end(), static_cast<size_t>(trial.number));
  std::string svg =
      fmt::format("<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\"><title>trial {}: {}</title></circle>",
                  pruned                                                   ? "hollow"
                  : place != report.front.end() && report.goals.size() > 1 ? "c1"
                                                                           : "c0",
                  x, y, trial.number, escape_xml(describe(report.space, trial.parameters)));
  if (place == report.front.begin() && !report.front.empty()) {
    svg += fmt::format("<circle class=\"ring\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"9\"/>", x, y);
  }
  return svg;
}

std::string shortened(const std::string& text) {
  return text.size() <= kLongestLabel ? text : fmt::format("{}…", std::string_view(text).substr(0, kLongestLabel - 1));
}

}  // namespace

std::string history_plot_svg(const SearchReport& report) {
  const Range range = value_range(report);
  if (range.is_empty()) return "";
  const auto n = static_cast<double>(report.trials.size());
  const Axis x(-0.5, n - 0.5, kWide.left, kWide.right_end(), false);
  const Axis y(range.low, range.high, kWide.floor(), kTop, false);
  std::string svg = begin_svg(kWide, "results by trial");
  svg += x_axis(kWide, x, static_cast<int>(std::clamp(n, 1.0, 12.0)), "trial");
  svg += y_axis(kWide, y, 5, report.goals[0].name);
  std::string points;
  std::string dots;
  double best = std::numeric_limits<double>::infinity();
  for (const Trial& trial : report.trials) {
    const double at = x(static_cast<double>(trial.number));
    if (trial.state == TrialState::kComplete) {
      const double loss = loss_of(trial.values[0], report.goals[0]);
      if (loss < best) {
        if (!points.empty()) points += fmt::format("{:.1f},{:.1f} ", at, y(report.goals[0].maximize ? -best : best));
        best = loss;
        points += fmt::format("{:.1f},{:.1f} ", at, y(trial.values[0]));
      }
    } else if (trial.state == TrialState::kFailed) {
      dots += fmt::format(
          "<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">×<title>trial {}: {}</title></text>", at,
          kWide.floor() - 4, trial.number, escape_xml(trial.detail));
    }
    if (const auto value = shown_value(trial)) dots += dot(report, trial, at, y(*value));
  }
  if (!points.empty()) {
    points += fmt::format("{:.1f},{:.1f}", x(n - 0.5), y(report.goals[0].maximize ? -best : best));
    svg += fmt::format("<polyline class=\"curve c2\" style=\"fill:none\" points=\"{}\"/>", points);
  }
  return svg + dots + "</svg>\n";
}

std::string front_plot_svg(const SearchReport& report) {
  if (report.goals.size() < 2) return "";
  Range across;
  Range up;
  for (const Trial& trial : report.trials) {
    if (trial.state != TrialState::kComplete) continue;
    across.include(trial.values[1]);
    up.include(trial.values[0]);
  }
  if (up.is_empty()) return "";
  across.widen(0.08);
  up.widen(0.08);
  const Axis x(across.low, across.high, kWide.left, kWide.right_end(), false);
  const Axis y(up.low, up.high, kWide.floor(), kTop, false);
  std::string svg = begin_svg(kWide, "front");
  svg += x_axis(kWide, x, 8, report.goals[1].name) + y_axis(kWide, y, 5, report.goals[0].name);
  for (const Trial& trial : report.trials) {
    if (trial.state == TrialState::kComplete) svg += dot(report, trial, x(trial.values[1]), y(trial.values[0]));
  }
  return svg + "</svg>\n";
}

std::string slice_plot_svg(const SearchReport& report, size_t parameter) {
  const Parameter& p = report.space.parameters[parameter];
  const Range range = value_range(report);
  if (range.is_empty()) return "";
  const bool is_choice = p.kind == ParameterKind::kCategorical;
  const double low = is_choice ? -0.5 : p.kind == ParameterKind::kInt && !p.logarithmic ? p.low - 0.5 : p.low;
  const double high = is_choice                                         ? static_cast<double>(p.n_choices()) - 0.5
                      : p.kind == ParameterKind::kInt && !p.logarithmic ? p.high + 0.5
                                                                        : p.high;
  const Axis x(low, high, kSmall.left + 8, kSmall.right_end() - 8, p.logarithmic);
  const Axis y(range.low, range.high, kSmall.floor(), kTop, false);
  std::string svg = begin_svg(kSmall, "results by " + p.name) + y_axis(kSmall, y, 4, report.goals[0].name);
  const std::string title = p.logarithmic ? p.name + " (logarithmic)" : p.name;
  if (is_choice) {
    svg += x_axis(kSmall, x, 0, title);
    for (int64_t c = 0; c < p.n_choices(); ++c) {
      svg += x_tick(kSmall, x(static_cast<double>(c)), shortened(describe(p, static_cast<double>(c))));
    }
  } else {
    svg += x_axis(kSmall, x, 5, title);
  }
  for (const Trial& trial : report.trials) {
    if (const auto value = shown_value(trial)) svg += dot(report, trial, x(trial.parameters[parameter]), y(*value));
  }
  return svg + "</svg>\n";
}

std::string importance_plot_svg(const SearchReport& report) {
  if (report.importance.empty()) return "";
  constexpr double kBar = 26;
  constexpr double kNames = 150;
  const Frame frame{900, kBar * static_cast<double>(report.importance.size()) + 20};
  const Axis x(0, 1, kNames, frame.width - 70, false);
  std::vector<size_t> order(report.importance.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return report.importance[a] > report.importance[b]; });
  std::string svg = begin_svg(frame, "importance");
  for (size_t row = 0; row < order.size(); ++row) {
    const double top = 10 + kBar * static_cast<double>(row);
    const double share = report.importance[order[row]];
    svg += fmt::format(
        "<text class=\"axis\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text><rect class=\"c0\" x=\"{}\" "
        "y=\"{:.1f}\" "
        "width=\"{:.1f}\" height=\"{}\"/><text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\">{:.0f} %</text>",
        kNames - 8, top + 17, escape_xml(report.space.parameters[order[row]].name), kNames, top + 4,
        std::max(1.0, x(share) - kNames), kBar - 8, std::max(x(share), kNames + 1) + 8, top + 17, 100 * share);
  }
  return svg + "</svg>\n";
}

std::string learning_plot_svg(const SearchReport& report) {
  Range range;
  double last = 0;
  for (const Trial& trial : report.trials) {
    for (const Intermediate& value : trial.intermediates) {
      range.include(value.value);
      last = std::max(last, static_cast<double>(value.step));
    }
  }
  if (range.is_empty() || last < 2) return "";
  range.widen(0.04);
  const Axis x(1, last, kWide.left, kWide.right_end(), false);
  const Axis y(range.low, range.high, kWide.floor(), kTop, false);
  std::string svg = begin_svg(kWide, "values after each epoch");
  svg += x_axis(kWide, x, 10, "epoch") + y_axis(kWide, y, 5, report.goals[0].name);
  std::string top;
  for (const Trial& trial : report.trials) {
    std::string points;
    for (const Intermediate& value : trial.intermediates) {
      points += fmt::format("{:.1f},{:.1f} ", x(static_cast<double>(value.step)), y(value.value));
    }
    const bool best = !report.front.empty() && report.front[0] == static_cast<size_t>(trial.number);
    const char* kind = best ? "curve c2" : trial.state == TrialState::kPruned ? "curve faint c6" : "curve faint c0";
    (best ? top : svg) +=
        fmt::format("<polyline class=\"{}\" style=\"fill:none\" points=\"{}\"><title>trial {}</title></polyline>", kind,
                    points, trial.number);
  }
  return svg + top + "</svg>\n";
}

}  // namespace fettle
