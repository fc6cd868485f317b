#include "base/progress_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/progress.h"

namespace fettle {
namespace {

constexpr int kBarCells = 14;
constexpr std::array<std::string_view, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

double fraction(const ProgressView& view) {
  if (view.total <= 0) return 0;
  return std::clamp(static_cast<double>(view.done) / static_cast<double>(view.total), 0.0, 1.0);
}

std::string rate_text(double per_second, std::string_view unit) {
  if (per_second >= 100) return fmt::format("{} {}/s", group_thousands(std::llround(per_second)), unit);
  if (per_second >= 10) return fmt::format("{:.1f} {}/s", per_second, unit);
  return fmt::format("{:.2f} {}/s", per_second, unit);
}

std::vector<std::string> parts(const ProgressView& view) {
  std::vector<std::string> out;
  if (view.total > 0) {
    // Rounded down: 100% means done.
    out.push_back(fmt::format("{:3}%", static_cast<int>(std::floor(100 * fraction(view)))));
    out.push_back(fmt::format("{}/{} {}", group_thousands(view.done), group_thousands(view.total), view.unit));
  } else {
    out.push_back(fmt::format("{} {}", group_thousands(view.done), view.unit));
  }
  const double rate = view.seconds > 0 ? static_cast<double>(view.done) / view.seconds : 0;
  if (rate > 0) out.push_back(rate_text(rate, view.unit));
  if (view.total > 0 && view.done >= view.total) {
    out.push_back(format_duration(view.seconds));
  } else if (view.total > 0 && rate > 0) {
    out.push_back(format_duration(static_cast<double>(view.total - view.done) / rate) + " left");
  }
  if (!view.note.empty()) out.emplace_back(view.note);
  return out;
}

std::string bar(double part, bool utf8) {
  const int steps = static_cast<int>(part * kBarCells * 8);
  std::string cells;
  for (int i = 0; i < steps / 8; ++i) cells += utf8 ? "█" : "#";
  int used = steps / 8;
  if (utf8 && steps % 8 != 0) {
    cells += kEighths[static_cast<size_t>(steps % 8)];
    ++used;
  }
  return cells + std::string(static_cast<size_t>(kBarCells - used), utf8 ? ' ' : '.');
}

// The first `columns` characters; never cuts inside one (UTF-8).
std::string cut(std::string text, int columns) {
  int shown = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool starts_character = (static_cast<unsigned char>(text[i]) & 0xc0) != 0x80;
    if (starts_character && ++shown > columns) return text.substr(0, i);
  }
  return text;
}

std::string joined(std::string text, const std::vector<std::string>& items) {
  for (const std::string& item : items) text += "  " + item;
  return text;
}

}  // namespace

std::string group_thousands(int64_t value) {
  std::string digits = std::to_string(value);
  const int64_t first = value < 0 ? 1 : 0;
  for (int64_t i = static_cast<int64_t>(digits.size()) - 3; i > first; i -= 3)
    digits.insert(static_cast<size_t>(i), ",");
  return digits;
}

std::string progress_line(const ProgressView& view) {
  return joined(std::string(view.title), parts(view));
}

std::string progress_bar_line(const ProgressView& view, int columns, bool utf8) {
  std::string head(view.title);
  if (view.total > 0) head += "  " + bar(fraction(view), utf8);
  return cut(joined(std::move(head), parts(view)), std::max(columns - 1, 1));
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "?";
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const int64_t minutes = (whole + 30) / 60;
  return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

}  // namespace fettle
