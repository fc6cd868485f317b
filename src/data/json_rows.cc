// JSON lines, lists of objects, and CLINC150's object of splits.
#include "base/error.h"
#include "base/json.h"
#include "base/printable.h"
#include "data/rows.h"

namespace fettle {
namespace {

std::string text_value(const Json& value, const std::string& key, const std::string& where) {
  if (!value.is_string()) bad_input(where, "'" + key + "' is not a string");
  return value.get<std::string>();
}

std::optional<std::string> label_value(const Json& value, const std::string& key, const std::string& where) {
  if (value.is_null()) return std::nullopt;
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return value.dump();
  bad_input(where, "'" + key + "' is neither a string nor a whole number");
}

std::vector<std::string> label_list(const Json& value, const std::string& key, const std::string& where) {
  std::vector<std::string> labels;
  for (const Json& item : value.is_array() ? value : Json::array({value})) {
    const auto label = label_value(item, key, where);
    if (!label) bad_input(where, "'" + key + "' has a null among its labels");
    labels.push_back(*label);
  }
  return labels;
}

void read_label(const Json& value, const std::string& key, const DataOptions& options, const std::string& where,
                DataRow& row) {
  if (value.is_null()) return;
  switch (options.label_kind) {
    case LabelKind::kOne:
      row.label = label_value(value, key, where);
      return;
    case LabelKind::kSet:
      row.label_set = label_list(value, key, where);
      return;
    case LabelKind::kNumber:
      if (value.is_number()) {
        row.label_number = value.get<double>();
      } else if (value.is_string()) {
        set_label(row, value.get_ref<const std::string&>(), options, where);
      } else {
        bad_input(where, "'" + key + "' is not a number");
      }
  }
}

// Where an object has its label: sets may stand under "labels" when no column was named.
Json::const_iterator find_label(const Json& json, const DataOptions& options) {
  const bool is_default = options.label_column == DataOptions().label_column;
  if (options.label_kind == LabelKind::kSet && is_default) {
    const auto found = json.find("labels");
    if (found != json.end()) return found;
  }
  return json.find(options.label_column);
}

DataRow object_row(const Json& json, std::string_view file, int64_t number, const DataOptions& options) {
  const std::string where = row_name(file, number);
  if (!json.is_object()) bad_input(where, "is not an object");
  DataRow row{.number = number};
  const auto text = json.find(options.text_column);
  if (text == json.end()) bad_input(where, "has no '" + options.text_column + "'");
  row.text = text_value(*text, options.text_column, where);
  const auto pair = json.find(options.pair_column);
  if (pair != json.end() && !pair->is_null()) row.text_pair = text_value(*pair, options.pair_column, where);
  const auto label = find_label(json, options);
  if (label != json.end()) read_label(*label, label.key(), options, where, row);
  const bool named = options.label_column != DataOptions().label_column;
  if (label == json.end() && named) bad_input(where, "has no '" + options.label_column + "'");
  return row;
}

DataRow pair_row(const Json& json, std::string_view file, int64_t number, const DataOptions& options) {
  const std::string where = row_name(file, number);
  if (!json.is_array() || json.size() != 2 || !json[0].is_string() || !json[1].is_string()) {
    bad_input(where, "is not a pair [text, intent] of strings");
  }
  DataRow row{.text = json[0].get<std::string>(), .number = number};
  read_label(json[1], "intent", options, where, row);
  return row;
}

void append_list(const Json& list, const std::string& file, const DataOptions& options, std::vector<DataRow>& rows) {
  int64_t number = 0;
  for (const Json& item : list) {
    ++number;
    rows.push_back(item.is_array() ? pair_row(item, file, number, options) : object_row(item, file, number, options));
  }
}

const Json& find_split(const Json& json, const std::string& split, std::string_view file) {
  std::string names;
  for (const auto& [name, value] : json.items()) {
    if (value.is_array()) names += (names.empty() ? "" : ", ") + name;
  }
  const std::string hint = names.empty() ? "" : "splits: " + printable(names);
  if (split.empty()) bad_input(std::string(file), "needs a split", hint + "; write " + std::string(file) + "#SPLIT");
  const auto found = json.find(split);
  if (found == json.end()) bad_input(std::string(file), "has no split '" + printable(split) + "'", hint);
  if (!found->is_array()) bad_input(std::string(file), "split '" + printable(split) + "' is not a list");
  return *found;
}

}  // namespace

std::vector<DataRow> read_json_lines(std::string_view content, std::string_view file, const DataOptions& options) {
  std::vector<DataRow> rows;
  for (const DataRow& line : read_text_lines(content)) {
    if (line.text.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = row_name(file, line.number);
    rows.push_back(object_row(parse_json(line.text, where), file, line.number, options));
  }
  return rows;
}

std::vector<DataRow> read_json_data(std::string_view content, std::string_view file, std::string_view split,
                                    const DataOptions& options) {
  const Json json = parse_json(content, file);
  std::vector<DataRow> rows;
  if (json.is_array()) {
    if (!split.empty()) bad_input(std::string(file), "is a list and has no splits");
    append_list(json, std::string(file), options, rows);
    return rows;
  }
  if (!json.is_object()) bad_input(std::string(file), "is neither a list nor an object of splits");
  std::string name(split);
  if (name == "validation" && !json.contains(name)) name = "val";
  append_list(find_split(json, name, file), std::string(file) + "#" + name, options, rows);
  if (!options.include_oos) return rows;
  const size_t in_scope = rows.size();
  append_list(find_split(json, "oos_" + name, file), std::string(file) + "#oos_" + name, options, rows);
  for (size_t i = in_scope; i < rows.size(); ++i) rows[i].label = options.oos_name;
  return rows;
}

}  // namespace fettle
