#include "data/rows.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"

namespace fettle {

std::string row_name(std::string_view file, int64_t number) {
  return std::string(file) + ", row " + std::to_string(number);
}

void require_utf8(std::string_view content, std::string_view file) {
  const char* const end = content.data() + content.size();
  for (const char* p = content.data(); p < end;) {
    const unicode::DecodedChar c = unicode::decode_utf8(p, end);
    if (!c.valid) {
      const int64_t line = 1 + std::count(content.data(), p, '\n');
      bad_input(std::string(file),
                "is not valid UTF-8 at byte " + std::to_string(p - content.data()) + ", line " + std::to_string(line),
                "convert it first, e.g. iconv -t UTF-8");
    }
    p += c.n_bytes;
  }
}

std::vector<DataRow> read_text_lines(std::string_view content) {
  std::vector<DataRow> rows;
  while (!content.empty()) {
    const size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(end + 1, content.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    rows.push_back({.text = std::string(line), .number = static_cast<int64_t>(rows.size()) + 1});
  }
  return rows;
}

}  // namespace fettle
