// The bubble plot: latency × accuracy, area = size.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "evaluate/report.h"
#include "evaluate/svg.h"

namespace fettle {

namespace {

constexpr double kWidth = 900;
constexpr double kHeight = 460;
constexpr double kLeft = 70;
constexpr double kRight = 30;
constexpr double kTop = 24;
constexpr double kBottom = 60;
constexpr double kLargestRadius = 42;
constexpr double kSmallestRadius = 4;
constexpr double kLogSpan = 20;  // above this ratio of slowest to fastest the axis is logarithmic

struct Range {
  double low;
  double high;
};

Range accuracy_range(const std::vector<ReportRow>& rows) {
  Range range{1, 0};
  for (const ReportRow& row : rows) {
    range.low = std::min(range.low, row.accuracy);
    range.high = std::max(range.high, row.accuracy);
  }
  const double margin = std::max(0.01, 0.25 * (range.high - range.low));
  return {std::max(0.0, range.low - margin), std::min(1.0, range.high + margin)};
}

std::string grid(const Axis& x, const Axis& y, const std::string& x_title) {
  std::string svg;
  const double bottom = kHeight - kBottom;
  for (double tick : x.ticks(8)) {
    svg += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\"/>", x(tick), kTop,
                       bottom);
    svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>", x(tick),
                       bottom + 18, tick_label(tick));
  }
  for (double tick : y.ticks(6)) {
    svg += fmt::format("<line class=\"grid\" x1=\"{1}\" x2=\"{2}\" y1=\"{0:.1f}\" y2=\"{0:.1f}\"/>", y(tick), kLeft,
                       kWidth - kRight);
    svg += fmt::format("<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft - 8,
                       y(tick) + 4, tick_label(100 * tick));
  }
  svg += fmt::format("<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                     (kLeft + kWidth - kRight) / 2, kHeight - 16, escape_xml(x_title));
  svg += fmt::format(
      "<text class=\"axis\" transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">accuracy, %</text>",
      (kTop + bottom) / 2);
  return svg;
}

struct Label {
  double x;
  double y;
};

// Numbers stand in or beside their bubbles; one that would cover another moves down.
std::string bubbles(const std::vector<ReportRow>& rows, const Axis& x, const Axis& y) {
  double largest_mb = 1e-9;
  for (const ReportRow& row : rows) largest_mb = std::max(largest_mb, row.size_mb);
  std::vector<size_t> order;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].accuracy >= 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rows[a].size_mb > rows[b].size_mb; });

  std::string circles;
  std::string labels;
  std::vector<Label> placed;
  for (size_t i : order) {
    const ReportRow& row = rows[i];
    const double radius = std::max(kSmallestRadius, kLargestRadius * std::sqrt(row.size_mb / largest_mb));
    const double cx = x(row.p50_ms);
    const double cy = y(row.accuracy);
    circles += fmt::format(
        "<circle class=\"bubble c{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"><title>{}: {:.2f} MiB, "
        "{:.3f} ms, accuracy {:.3f}</title></circle>",
        i % 8, cx, cy, radius, escape_xml(row.name), row.size_mb, row.p50_ms, row.accuracy);
    if (row.best) {
      circles += fmt::format("<circle class=\"ring\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"/>", cx, cy, radius + 6);
    }
    Label label{radius > 12 ? cx : cx + radius + 9, cy + 5};
    for (bool moved = true; moved;) {
      moved = false;
      for (const Label& other : placed) {
        if (std::abs(other.x - label.x) < 16 && std::abs(other.y - label.y) < 14) {
          label.y = other.y + 15;
          moved = true;
        }
      }
    }
    placed.push_back(label);
    labels += fmt::format("<text class=\"number\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>", label.x,
                          label.y, i + 1);
  }
  return circles + labels;
}

}  // namespace

std::string bubble_plot_svg(const std::vector<ReportRow>& rows) {
  std::vector<ReportRow> shown;
  for (const ReportRow& row : rows) {
    if (row.accuracy >= 0 && row.p50_ms > 0) shown.push_back(row);
  }
  if (shown.empty()) return "";
  double fastest = shown[0].p50_ms;
  double slowest = fastest;
  for (const ReportRow& row : shown) {
    fastest = std::min(fastest, row.p50_ms);
    slowest = std::max(slowest, row.p50_ms);
  }
  const bool logarithmic = slowest / fastest > kLogSpan;
  const Range accuracy = accuracy_range(shown);
  const Axis x(logarithmic ? fastest / 1.6 : 0, logarithmic ? slowest * 1.8 : slowest * 1.15, kLeft, kWidth - kRight,
               logarithmic);
  const Axis y(accuracy.low, accuracy.high, kHeight - kBottom, kTop, false);
  std::string svg = fmt::format(
      "<svg class=\"plot\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"latency against "
      "accuracy\" xmlns=\"http://www.w3.org/2000/svg\">",
      kWidth, kHeight);
  svg += grid(x, y, logarithmic ? "median latency, ms (logarithmic)" : "median latency, ms");
  svg += bubbles(rows, x, y);
  return svg + "</svg>";
}

}  // namespace fettle
