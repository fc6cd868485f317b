#include "train/distill/student_rule.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <string>

#include "base/error.h"
#include "base/printable.h"

namespace fettle {
namespace {

constexpr const char* kWhere = "student";
constexpr const char* kHint = "rules look like layers=0,2,4 hidden=128 heads=2 intermediate=512";
constexpr std::string_view kSeparators = " ,;\t";

int64_t parse_number(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) {
    usage_error(kWhere, "'" + printable(text) + "' is not a number", kHint);
  }
  return number;
}

using Clauses = std::map<std::string, std::vector<int64_t>, std::less<>>;

// "layers=0,2,4,hidden=128": a piece without '=' continues the list before it.
Clauses parse_clauses(std::string_view rule) {
  Clauses clauses;
  std::vector<int64_t>* current = nullptr;
  while (true) {
    rule.remove_prefix(std::min(rule.find_first_not_of(kSeparators), rule.size()));
    if (rule.empty()) break;
    std::string_view piece = rule.substr(0, rule.find_first_of(kSeparators));
    rule.remove_prefix(piece.size());
    const size_t equals = piece.find('=');
    if (equals != std::string_view::npos) {
      const std::string_view key = piece.substr(0, equals);
      if (key != "layers" && key != "hidden" && key != "heads" && key != "intermediate") {
        usage_error(kWhere, "does not know '" + printable(key) + "'", kHint);
      }
      if (clauses.contains(key)) usage_error(kWhere, "names '" + std::string(key) + "' twice", kHint);
      current = &clauses[std::string(key)];
      piece.remove_prefix(equals + 1);
    }
    if (current == nullptr) usage_error(kWhere, "'" + printable(piece) + "' is no rule", kHint);
    current->push_back(parse_number(piece));
  }
  if (clauses.empty()) usage_error(kWhere, "the rule is empty", kHint);
  return clauses;
}

int64_t single(const Clauses& clauses, std::string_view key, int64_t min, int64_t max) {
  const std::vector<int64_t>& values = clauses.find(key)->second;
  if (values.size() != 1 || values[0] < min || values[0] > max) {
    usage_error(kWhere, std::string(key) + " must be one number from " + std::to_string(min) + " to " +
                            std::to_string(max) + ", the teacher's");
  }
  return values[0];
}

int64_t in_proportion(int64_t width, int64_t hidden, int64_t teacher_hidden) {
  return std::max<int64_t>(1, (width * hidden + teacher_hidden / 2) / teacher_hidden);
}

}  // namespace

StudentRule parse_student_rule(std::string_view text, const ModelConfig& teacher) {
  const Clauses clauses = parse_clauses(text);
  if (teacher.shares_layers()) {
    usage_error(kWhere, "layers and widths cannot be cut out of ALBERT, whose layers share their parameters",
                "give a model folder or a config.json instead of a rule");
  }
  if (teacher.has_factors()) {
    usage_error(kWhere, "layers and widths cannot be cut out of a factorized teacher",
                "distil from the teacher as it was, and factorize the student");
  }
  const int64_t n_layers = static_cast<int64_t>(teacher.layers.size());
  StudentRule rule;
  if (const auto layers = clauses.find("layers"); layers != clauses.end()) {
    rule.layers = layers->second;
  } else {
    rule.layers.resize(teacher.layers.size());
    std::iota(rule.layers.begin(), rule.layers.end(), 0);
  }
  for (int64_t layer : rule.layers) {
    if (layer >= n_layers) {
      usage_error(kWhere, "layer " + std::to_string(layer) + " does not exist: the teacher has " +
                              std::to_string(n_layers) + ", counted from 0");
    }
  }
  rule.hidden = clauses.contains("hidden") ? single(clauses, "hidden", 1, teacher.hidden_size) : teacher.hidden_size;
  for (int64_t layer : rule.layers) {
    const LayerConfig& width = teacher.layers[layer];
    rule.heads.push_back(clauses.contains("heads") ? single(clauses, "heads", 1, width.n_heads)
                                                   : in_proportion(width.n_heads, rule.hidden, teacher.hidden_size));
    rule.intermediate.push_back(clauses.contains("intermediate")
                                    ? single(clauses, "intermediate", 1, width.intermediate_size)
                                    : in_proportion(width.intermediate_size, rule.hidden, teacher.hidden_size));
  }
  return rule;
}

}  // namespace fettle
