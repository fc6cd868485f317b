// CSV and TSV as RFC 4180: quoted fields may hold delimiters, doubled quotes and line ends.
#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/printable.h"
#include "data/rows.h"

namespace fettle {
namespace {

constexpr size_t kMaxColumns = 4096;

class DelimitedReader {
 public:
  DelimitedReader(std::string_view content, std::string_view file, char delimiter)
      : content_(content), file_(file), delimiter_(delimiter) {}

  // The next row's fields; false at the end. Lines that are wholly empty are passed over.
  bool next(std::vector<std::string>& fields) {
    while (at_line_end()) skip_line_end();
    if (position_ >= content_.size()) return false;
    row_ = line_;
    fields.clear();
    while (true) {
      if (fields.size() >= kMaxColumns) bad_input(row_name(file_, row_), "has more than 4096 fields");
      fields.push_back(read_field());
      if (position_ >= content_.size()) return true;
      if (content_[position_] != delimiter_) break;
      ++position_;
      if (position_ >= content_.size()) {
        fields.emplace_back();
        return true;
      }
    }
    skip_line_end();
    return true;
  }
  int64_t row() const { return row_; }  // line of the file on which the row begins

 private:
  bool at_line_end() const {
    if (position_ >= content_.size()) return false;
    return content_[position_] == '\n' || content_.substr(position_, 2) == "\r\n";
  }
  void skip_line_end() {
    position_ += content_[position_] == '\r' ? 2 : 1;
    ++line_;
  }
  std::string read_field() {
    if (position_ < content_.size() && content_[position_] == '"') return read_quoted();
    const size_t begin = position_;
    while (position_ < content_.size() && content_[position_] != delimiter_ && !at_line_end()) ++position_;
    return std::string(content_.substr(begin, position_ - begin));
  }
  std::string read_quoted() {
    std::string field;
    ++position_;
    while (true) {
      const size_t quote = content_.find('"', position_);
      if (quote == std::string_view::npos) {
        bad_input(row_name(file_, row_), "has a quoted field that never ends", "write a quote inside a field as \"\"");
      }
      const std::string_view part = content_.substr(position_, quote - position_);
      line_ += std::count(part.begin(), part.end(), '\n');
      field += part;
      position_ = quote + 1;
      if (position_ >= content_.size() || content_[position_] != '"') break;
      field += '"';
      ++position_;
    }
    if (position_ < content_.size() && content_[position_] != delimiter_ && !at_line_end()) {
      bad_input(row_name(file_, row_), "has text after the closing quote of a field",
                "write a quote inside a field as \"\", and such a field in quotes");
    }
    return field;
  }

  std::string_view content_;
  std::string_view file_;
  char delimiter_;
  size_t position_ = 0;
  int64_t line_ = 1;
  int64_t row_ = 1;
};

struct Columns {
  size_t text = 0;
  std::optional<size_t> pair;
  std::optional<size_t> label;
  size_t width = 0;
  bool header = true;
};

std::optional<size_t> find_column(const std::vector<std::string>& header, std::string_view name) {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found == header.end()) return std::nullopt;
  return static_cast<size_t>(found - header.begin());
}

// "2" is the second column of a file without a header.
std::optional<size_t> column_number(std::string_view name, size_t width) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number < 1 || number > width) return std::nullopt;
  return number - 1;
}

std::string list_names(const std::vector<std::string>& header) {
  std::string names;
  for (const std::string& name : header) names += (names.empty() ? "" : ", ") + name;
  return printable(names);
}

Columns find_columns(const std::vector<std::string>& header, std::string_view file, const DataOptions& options) {
  Columns columns;
  columns.width = header.size();
  // Numbers come first: a file without a header may well have a "2" in its first row.
  if (const auto number = column_number(options.text_column, header.size())) {
    columns.header = false;
    columns.text = *number;
    columns.pair = column_number(options.pair_column, header.size());
    columns.label = column_number(options.label_column, header.size());
  } else {
    const auto text = find_column(header, options.text_column);
    if (!text) {
      bad_input(std::string(file), "has no column '" + options.text_column + "' (it has: " + list_names(header) + ")",
                "name the column, or give its number for a file without a header");
    }
    columns.text = *text;
    columns.pair = find_column(header, options.pair_column);
    columns.label = find_column(header, options.label_column);
    const bool is_set = options.label_kind == LabelKind::kSet && options.label_column == DataOptions().label_column;
    if (is_set && !columns.label) columns.label = find_column(header, "labels");
  }
  const DataOptions defaults;
  if (!columns.label && options.label_column != defaults.label_column) {
    bad_input(std::string(file), "has no column '" + options.label_column + "' (it has: " + list_names(header) + ")");
  }
  if (!columns.pair && options.pair_column != defaults.pair_column) {
    bad_input(std::string(file), "has no column '" + options.pair_column + "' (it has: " + list_names(header) + ")");
  }
  return columns;
}

}  // namespace

std::vector<DataRow> read_delimited(std::string_view content, std::string_view file, char delimiter,
                                    const DataOptions& options) {
  DelimitedReader reader(content, file, delimiter);
  std::vector<std::string> fields;
  std::vector<DataRow> rows;
  if (!reader.next(fields)) return rows;
  const Columns columns = find_columns(fields, file, options);
  bool more = columns.header ? reader.next(fields) : true;
  for (; more; more = reader.next(fields)) {
    if (fields.size() != columns.width) {
      bad_input(row_name(file, reader.row()), "has " + std::to_string(fields.size()) +
                                                  " fields where the first row has " + std::to_string(columns.width));
    }
    DataRow row{.text = fields[columns.text], .number = reader.row()};
    if (columns.pair) row.text_pair = fields[*columns.pair];
    if (columns.label) set_label(row, fields[*columns.label], options, row_name(file, reader.row()));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace fettle
