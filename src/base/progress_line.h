// The text of one progress line, apart from clocks and terminals.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fettle {

struct ProgressView {
  std::string_view title;
  std::string_view unit;
  std::string_view note;
  int64_t done = 0;
  int64_t total = 0;  // 0: unknown
  double seconds = 0;
};

// "training   52%  3,120/6,000 samples  1,240 samples/s  2.3 s left  loss 0.41"
std::string progress_line(const ProgressView& view);
// The same with a bar behind the title, cut to `columns`; block characters when `utf8`, else '#'.
std::string progress_bar_line(const ProgressView& view, int columns, bool utf8);
// "1,234,567"
std::string group_thousands(int64_t value);

}  // namespace fettle
