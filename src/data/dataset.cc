#include "data/dataset.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/printable.h"
#include "data/clinc_labels.h"
#include "data/rows.h"

namespace fettle {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

struct Spec {
  std::filesystem::path path;
  std::string split;
};

// A '#' belongs to the file's name when a file of the whole name exists.
Spec parse_spec(std::string_view spec) {
  const size_t hash = spec.rfind('#');
  std::error_code ignored;
  if (hash == std::string_view::npos || std::filesystem::exists(std::filesystem::path(spec), ignored))
    return {spec, ""};
  return {spec.substr(0, hash), std::string(spec.substr(hash + 1))};
}

std::vector<DataRow> read_rows(const Spec& spec, const DataOptions& options) {
  const std::string file = spec.path.string();
  const std::string extension = spec.path.extension().string();
  const bool known = extension == ".jsonl" || extension == ".json" || extension == ".csv" || extension == ".tsv" ||
                     extension == ".txt";
  if (!known) {
    usage_error(file, "has an ending that no data format has", "known: .jsonl .json .csv .tsv .txt");
  }
  if (!spec.split.empty() && extension != ".json") usage_error(file, "only .json files have splits");
  if (options.include_oos && extension != ".json") {
    usage_error(file, "out-of-scope examples can be added for CLINC150's .json only");
  }
  const auto mapped = MappedFile::open(spec.path);
  const auto bytes = mapped->bytes();
  std::string_view content(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (content.starts_with(kByteOrderMark)) content.remove_prefix(kByteOrderMark.size());
  require_utf8(content, file);
  if (extension == ".jsonl") return read_json_lines(content, file, options);
  if (extension == ".json") return read_json_data(content, file, spec.split, options);
  if (extension == ".csv") return read_delimited(content, file, ',', options);
  if (extension == ".tsv") return read_delimited(content, file, '\t', options);
  return read_text_lines(content);
}

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

// Names in order; when all are whole numbers, by value.
void sort_labels(std::vector<std::string>& labels) {
  const bool numbers = std::all_of(labels.begin(), labels.end(), [](const std::string& l) { return whole_number(l); });
  std::sort(labels.begin(), labels.end(), [&](const std::string& a, const std::string& b) {
    if (numbers && whole_number(a) != whole_number(b)) return whole_number(a) < whole_number(b);
    return a < b;
  });
}

std::vector<std::string> label_list(const std::vector<DataRow>& rows, const DataOptions& options) {
  if (!options.labels.empty()) return options.labels;
  if (options.label_order == LabelOrder::kHuggingFace) {
    const auto labels = clinc_oos_labels();
    return {labels.begin(), labels.end()};
  }
  if (options.label_kind == LabelKind::kNumber) return {"LABEL_0"};  // transformers' name for it
  std::vector<std::string> labels;
  std::unordered_map<std::string_view, bool> seen;
  const auto add = [&](const std::string& label) {
    if (seen.emplace(label, true).second) labels.push_back(label);
  };
  for (const DataRow& row : rows) {
    if (row.label) add(*row.label);
    if (row.label_set) std::for_each(row.label_set->begin(), row.label_set->end(), add);
  }
  if (options.label_order == LabelOrder::kSorted) sort_labels(labels);
  return labels;
}

class LabelIds {
 public:
  LabelIds(const std::vector<std::string>& labels, std::string_view file) : labels_(labels), file_(file) {
    for (size_t i = 0; i < labels.size(); ++i) ids_.emplace(labels[i], static_cast<int32_t>(i));
  }
  int32_t find(const std::string& label, int64_t row) const {
    const auto found = ids_.find(label);
    if (found != ids_.end()) return found->second;
    // A number may stand for its label.
    if (const auto id = whole_number(label); id && *id < static_cast<int64_t>(labels_.size())) {
      return static_cast<int32_t>(*id);
    }
    bad_input(row_name(file_, row),
              "label '" + printable(label) + "' is not among the " + std::to_string(labels_.size()) + " known ones");
  }
  // Rising, each once.
  std::vector<int32_t> find_all(const std::vector<std::string>& labels, int64_t row) const {
    std::vector<int32_t> ids;
    for (const std::string& label : labels) ids.push_back(find(label, row));
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
  }

 private:
  const std::vector<std::string>& labels_;
  std::string_view file_;
  std::unordered_map<std::string_view, int32_t> ids_;
};

}  // namespace

Dataset load_dataset(std::string_view spec, const DataOptions& options) {
  std::vector<DataRow> rows = read_rows(parse_spec(spec), options);
  if (rows.empty()) bad_input(std::string(spec), "holds no examples");
  Dataset result;
  result.source = spec;
  result.labels = label_list(rows, options);
  const LabelIds ids(result.labels, spec);
  result.label_kind = options.label_kind;
  result.examples.reserve(rows.size());
  for (DataRow& row : rows) {
    const int32_t label = row.label ? ids.find(*row.label, row.number) : kUnlabelled;
    Example& example = result.examples.emplace_back(Example{std::move(row.text), std::move(row.text_pair), label});
    if (row.label_set) example.label_set = ids.find_all(*row.label_set, row.number);
    if (row.label_number) example.number = *row.label_number;
  }
  const auto oos = std::find(result.labels.begin(), result.labels.end(), options.oos_name);
  if (oos != result.labels.end()) result.oos_label = static_cast<int32_t>(oos - result.labels.begin());
  return result;
}

std::vector<std::string> read_labels(std::string_view spec, const DataOptions& options) {
  return load_dataset(spec, options).labels;
}

}  // namespace fettle
