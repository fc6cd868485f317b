#include "evaluate/columns.h"

#include <algorithm>

namespace fettle {
namespace {

constexpr size_t kMinNameWidth = 12;
constexpr size_t kGap = 2;

std::string padded(const std::string& cell, size_t width, bool left) {
  const std::string fill(width - std::min(width, display_width(cell)), ' ');
  return left ? cell + fill : fill + cell;
}

}  // namespace

size_t display_width(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string keep_end(std::string_view text, size_t width) {
  const size_t n = display_width(text);
  if (n <= width || width == 0) return std::string(text);
  size_t dropped = n - width + 1;
  size_t at = 0;
  while (at < text.size() && (dropped > 0 || (text[at] & 0xC0) == 0x80)) {
    if ((text[at] & 0xC0) != 0x80) --dropped;
    ++at;
  }
  return "…" + std::string(text.substr(at));
}

std::string format_columns(const TextTable& table, int columns) {
  std::vector<size_t> widths;
  for (const auto& line : table) {
    widths.resize(std::max(widths.size(), line.size()), 0);
    for (size_t c = 0; c < line.size(); ++c) widths[c] = std::max(widths[c], display_width(line[c]));
  }
  size_t numbers = 0;
  for (size_t c = 1; c < widths.size(); ++c) numbers += widths[c] + kGap;
  const auto whole = static_cast<size_t>(std::max(columns, 0));
  if (!widths.empty()) {
    widths[0] = std::min(widths[0], std::max(kMinNameWidth, whole - std::min(whole, numbers)));
  }
  std::string text;
  for (size_t r = 0; r < table.size(); ++r) {
    for (size_t c = 0; c < table[r].size(); ++c) {
      if (c > 0) text += std::string(kGap, ' ');
      text += padded(c == 0 ? keep_end(table[r][c], widths[0]) : table[r][c], widths[c], c == 0);
    }
    text += '\n';
    if (r > 0) continue;
    for (size_t i = 0; i < widths[0] + numbers; ++i) text += "─";
    text += '\n';
  }
  return text;
}

std::string wrap(std::string_view text, int columns, size_t indent) {
  std::string wrapped;
  size_t width = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    if (width > indent && width + 1 + display_width(word) > static_cast<size_t>(columns)) {
      wrapped += '\n' + std::string(indent, ' ');
      width = indent;
    } else if (width > 0 && width != indent) {
      wrapped += ' ';
      ++width;
    }
    wrapped += word;
    width += display_width(word);
  }
  return wrapped + '\n';
}

}  // namespace fettle
