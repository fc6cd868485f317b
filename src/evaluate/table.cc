// The results table for a terminal.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "evaluate/columns.h"
#include "evaluate/report.h"

namespace fettle {

namespace {

constexpr size_t kMaxWidth = 110;
constexpr size_t kMinNameWidth = 12;

std::string shorten(std::string_view text, size_t width) {
  if (display_width(text) <= width) return std::string(text);
  std::string result;
  size_t n = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xC0) != 0x80 && ++n == width) break;
    result += text[i];
  }
  return result + "…";
}

std::string share(double value) {
  return value < 0 ? "–" : fmt::format("{:.3f}", value);
}

std::string p_value(double p) {
  if (p < 0) return "–";
  return p < 0.001 ? "<0.001" : fmt::format("{:.3f}", p);
}

std::string times(double factor) {
  return factor < 9.95 ? fmt::format("{:.1f}×", factor) : fmt::format("{:.0f}×", factor);
}

std::string milliseconds(double ms) {
  return ms < 10 ? fmt::format("{:.3f}", ms) : fmt::format("{:.1f}", ms);
}

using Cells = std::vector<std::string>;

Cells row_cells(const ReportRow& row) {
  return {row.name,
          fmt::format("{:.2f}", row.size_mb),
          fmt::format("{} ± {}", milliseconds(row.mean_ms), milliseconds(row.std_ms)),
          milliseconds(row.p50_ms),
          share(row.accuracy),
          share(row.in_scope_accuracy),
          share(row.oos_recall),
          p_value(row.p_value),
          times(row.speedup),
          times(row.shrink)};
}

std::string pad(const std::string& cell, size_t width, bool left) {
  const std::string fill(width - std::min(width, display_width(cell)), ' ');
  return left ? cell + fill : fill + cell;
}

}  // namespace

std::string format_table(const std::vector<ReportRow>& rows, bool color) {
  std::vector<Cells> lines{
      {"model", "MiB", "mean ± std ms", "p50 ms", "acc.", "in-scope", "oos rec.", "p", "faster", "smaller"}};
  for (const ReportRow& row : rows) lines.push_back(row_cells(row));
  std::vector<size_t> widths(lines[0].size(), 0);
  for (const Cells& line : lines) {
    for (size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], display_width(line[c]));
  }
  // The names get what the numbers leave.
  size_t numbers = 2;
  for (size_t c = 1; c < widths.size(); ++c) numbers += widths[c] + 2;
  widths[0] = std::min(widths[0], std::max(kMinNameWidth, kMaxWidth - std::min(kMaxWidth, numbers)));
  for (Cells& line : lines) line[0] = shorten(line[0], widths[0]);

  std::string text;
  size_t total_width = 2;
  for (size_t width : widths) total_width += width + 2;
  for (size_t r = 0; r < lines.size(); ++r) {
    const bool best = r > 0 && rows[r - 1].best;
    if (best && color) text += "\033[1m";
    text += best ? "▶ " : "  ";
    for (size_t c = 0; c < lines[r].size(); ++c) {
      text += pad(lines[r][c], widths[c], c == 0);
      if (c + 1 < lines[r].size()) text += "  ";
    }
    if (best && color) text += "\033[0m";
    text += '\n';
    if (r == 0) {
      text += "  ";
      for (size_t i = 0; i + 4 < total_width; ++i) text += "─";
      text += '\n';
    }
  }
  for (const ReportRow& row : rows) {
    if (!row.remark.empty()) text += "  " + row.name + ": " + row.remark + "\n";
  }
  return text;
}

}  // namespace fettle
