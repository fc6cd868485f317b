// What the readers of the file formats have in common: rows of text before labels have ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace fettle {

struct DataRow {
  std::string text;
  std::string text_pair;
  std::optional<std::string> label;
  std::optional<std::vector<std::string>> label_set;  // LabelKind::kSet
  std::optional<double> label_number;                 // LabelKind::kNumber
  int64_t number = 0;                                 // for messages: line or entry of the file, from 1
};

// "FILE, row N"
std::string row_name(std::string_view file, int64_t number);

// Each reads the whole content of a file. kBadInput naming `file` and the row for what is malformed.
std::vector<DataRow> read_delimited(std::string_view content, std::string_view file, char delimiter,
                                    const DataOptions& options);
std::vector<DataRow> read_json_lines(std::string_view content, std::string_view file, const DataOptions& options);
// A list of objects, or an object of lists by split: of objects, or of [text, intent] pairs as in CLINC150.
std::vector<DataRow> read_json_data(std::string_view content, std::string_view file, std::string_view split,
                                    const DataOptions& options);
std::vector<DataRow> read_text_lines(std::string_view content);

// Puts the text of a label into the row, as the options' kind has it: empty is no label, but for sets, of which it is
// the empty one. kBadInput naming `where` for what is not a finite number.
void set_label(DataRow& row, std::string_view text, const DataOptions& options, const std::string& where);

// kBadInput naming the row and byte of the first ill-formed sequence.
void require_utf8(std::string_view content, std::string_view file);

}  // namespace fettle
