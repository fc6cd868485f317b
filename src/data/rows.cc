#include "data/rows.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/printable.h"
#include "text/unicode.h"

namespace fettle {

std::string row_name(std::string_view file, int64_t number) {
  return std::string(file) + ", row " + std::to_string(number);
}

namespace {

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  if (text.empty()) return parts;
  while (true) {
    const size_t end = separator.empty() ? std::string_view::npos : text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

double parse_number(std::string_view text, const std::string& where) {
  double number = 0;
  const bool has_plus = text.starts_with('+') && !text.starts_with("+-");
  const std::string_view digits = has_plus ? text.substr(1) : text;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || !std::isfinite(number)) {
    bad_input(where, "the label '" + printable(text) + "' is not a number");
  }
  return number;
}

}  // namespace

void set_label(DataRow& row, std::string_view text, const DataOptions& options, const std::string& where) {
  switch (options.label_kind) {
    case LabelKind::kOne:
      if (!text.empty()) row.label = text;
      return;
    case LabelKind::kSet:
      row.label_set = split(text, options.label_separator);
      return;
    case LabelKind::kNumber:
      if (!text.empty()) row.label_number = parse_number(text, where);
      return;
  }
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
