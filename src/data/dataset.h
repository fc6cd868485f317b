// Labelled texts and where they come from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fettle {

constexpr int32_t kUnlabelled = -1;

// What an example's label is.
enum class LabelKind : uint8_t { kOne, kSet /* any number of labels, none too */, kNumber };

struct Example {
  std::string text;
  std::string text_pair;  // second text, often empty
  int32_t label = kUnlabelled;
  // Of data of the other kinds, whose `label` stays kUnlabelled: rising ids, absent where there is no label; NaN
  // likewise.
  std::optional<std::vector<int32_t>> label_set = std::nullopt;
  double number = std::numeric_limits<double>::quiet_NaN();
};

struct Dataset {
  std::vector<Example> examples;
  std::vector<std::string> labels;  // by id; of numbers the one name of what they are
  LabelKind label_kind = LabelKind::kOne;
  // Id of the out-of-scope class ("oos", or as given), -1 when there is none.
  int32_t oos_label = -1;
  std::string source;  // as the user named it, for messages and reports
};

// Order of the label ids of a data set that brings none itself.
enum class LabelOrder : uint8_t {
  kSorted,
  kFirstSeen,
  kHuggingFace /* clinc_oos: its published id order; only CLINC150 */
};

struct DataOptions {
  std::string text_column = "text";
  std::string pair_column = "text_pair";
  std::string label_column = "label";
  // CLINC150's JSON: add the split's out-of-scope examples under the label "oos".
  bool include_oos = false;
  std::string oos_name = "oos";
  LabelOrder label_order = LabelOrder::kSorted;
  LabelKind label_kind = LabelKind::kOne;
  std::string label_separator = "|";  // between the labels of a set in a column of .csv and .tsv
  // When not empty, ids follow this list and any other label is an error naming the row (kBadInput).
  std::vector<std::string> labels;
};

// `spec` is a path to .jsonl, .json (a list of objects, or CLINC150), .csv, .tsv or .txt, with `#split` for CLINC150
// ("data_full.json#test").
// - .csv and .tsv follow RFC 4180 (quotes, line ends inside fields, CRLF or LF, byte order mark). A column may be given
//   by its number from 1; then the file has no header.
// - .txt has one unlabelled text a line; an empty line is an empty text (it ends a document for language modelling).
// - A label that is null, empty or absent leaves its row unlabelled; a whole number is the name of a label, or the id
// of
//   one when `options.labels` has no such name.
// - Sets of labels are lists in JSON, under "labels" where the label column is not named otherwise (a single string or
//   whole number is a set of one); in .csv and .tsv they are joined by the separator, and an empty field is the empty
//   set. Numbers are JSON numbers or text that is one, finite.
// Errors: kIo when it cannot be read; kUsage for an unknown ending; kBadInput naming file and row for malformed rows,
// missing columns, unknown labels, invalid UTF-8 and empty data.
Dataset load_dataset(std::string_view spec, const DataOptions& options = {});

// The label list that the examples of `spec` use, in the order asked for.
std::vector<std::string> read_labels(std::string_view spec, const DataOptions& options = {});

}  // namespace fettle
