#include "evaluate/heat_map.h"

#include <fmt/format.h>

#include <algorithm>

#include "evaluate/svg.h"

namespace fettle {
namespace {

constexpr double kLeft = 64;
constexpr double kTop = 12;
constexpr double kBelow = 44;
constexpr double kWidth = 760;
constexpr double kTallest = 30;
constexpr double kWidest = 46;

size_t most_columns(const HeatMap& map) {
  size_t n = 1;
  for (const auto& row : map.rows) n = std::max(n, row.size());
  return n;
}

double largest_of(const HeatMap& map) {
  double largest = 0;
  for (const auto& row : map.rows) {
    for (const double value : row) largest = std::max(largest, value);
  }
  return largest > 0 ? largest : 1;
}

struct Cell {
  double x;
  double y;
  double width;
  double height;
};

std::string cell_svg(const Cell& cell, double shade, const std::string& tip, bool crossed) {
  std::string svg = fmt::format(
      "<g><title>{}</title><rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" class=\"cell\" "
      "fill-opacity=\"{:.3f}\"/>",
      escape_xml(tip), cell.x, cell.y, cell.width, cell.height, shade);
  if (crossed) {
    const double margin = std::min(cell.width, cell.height) * 0.25;
    svg += fmt::format("<path class=\"cross\" d=\"M{:.2f} {:.2f}L{:.2f} {:.2f}M{:.2f} {:.2f}L{:.2f} {:.2f}\"/>",
                       cell.x + margin, cell.y + margin, cell.x + cell.width - margin, cell.y + cell.height - margin,
                       cell.x + margin, cell.y + cell.height - margin, cell.x + cell.width - margin, cell.y + margin);
  }
  return svg + "</g>";
}

}  // namespace

std::string heat_map_svg(const HeatMap& map) {
  const size_t n_columns = most_columns(map);
  const auto n_rows = static_cast<double>(std::max<size_t>(1, map.rows.size()));
  const double step = std::min(kWidest, kWidth / static_cast<double>(n_columns));
  const double gap = step > 8 ? 2 : 0;
  const double height = kTallest * n_rows;
  const double width = kLeft + step * static_cast<double>(n_columns) + 16;
  const double largest = largest_of(map);
  std::string svg = fmt::format(
      "<svg class=\"heat\" viewBox=\"0 0 {0:.0f} {1:.0f}\" style=\"max-width:{0:.0f}px\" role=\"img\" "
      "aria-label=\"{2}\" xmlns=\"http://www.w3.org/2000/svg\">",
      width, kTop + height + kBelow, escape_xml(map.title));
  for (size_t r = 0; r < map.rows.size(); ++r) {
    const double y = kTop + kTallest * (n_rows - 1 - static_cast<double>(r));
    svg += fmt::format("<text class=\"tick\" x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft - 8,
                       y + kTallest / 2 + 4, r);
    for (size_t c = 0; c < map.rows[r].size(); ++c) {
      const double value = map.rows[r][c];
      const Cell cell{kLeft + step * static_cast<double>(c), y + gap / 2, step - gap, kTallest - gap};
      const bool crossed = r < map.crossed.size() && c < map.crossed[r].size() && map.crossed[r][c];
      const std::string tip = fmt::format("{} {}, {} {}: {:.4g}", map.row_title, r, map.column_title, c, value);
      svg += cell_svg(cell, 0.06 + 0.94 * std::max(0.0, value) / largest, tip, crossed);
    }
  }
  const double below = kTop + height;
  for (size_t c = 0; map.label_columns && c < n_columns; ++c) {
    svg += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
                       kLeft + step * (static_cast<double>(c) + 0.5), below + 16, c);
  }
  svg += fmt::format("<text class=\"axis\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>",
                     kLeft + step * static_cast<double>(n_columns) / 2, below + 36, escape_xml(map.column_title));
  svg += fmt::format(
      "<text class=\"axis\" transform=\"translate(16 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}"
      "</text></svg>\n",
      kTop + height / 2, escape_xml(map.row_title));
  return svg;
}

}  // namespace fettle
