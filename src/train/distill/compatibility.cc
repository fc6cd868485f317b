#include "train/distill/compatibility.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <unordered_set>

#include "base/error.h"
#include "base/printable.h"

namespace fettle {
namespace {

constexpr size_t kShown = 5;

// Those of `these` that `others` lacks: "3 only in the teacher ('a', 'b', …)", or "".
std::string only_in(const std::vector<std::string>& these, const std::vector<std::string>& others, const char* whose) {
  const std::unordered_set<std::string_view> known(others.begin(), others.end());
  std::string list;
  size_t n = 0;
  for (const std::string& each : these) {
    if (known.contains(each)) continue;
    if (n++ < kShown) list += (list.empty() ? "'" : ", '") + printable(each) + "'";
  }
  if (n == 0) return "";
  return fmt::format("{} only in the {} ({}{})", n, whose, list, n > kShown ? ", …" : "");
}

std::string difference(const std::vector<std::string>& student, const std::vector<std::string>& teacher) {
  const std::string more = only_in(teacher, student, "teacher");
  const std::string less = only_in(student, teacher, "student");
  return more + (more.empty() || less.empty() ? "" : ", ") + less;
}

std::vector<std::string> pieces(const Tokenizer& tokenizer) {
  std::vector<std::string> all;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) all.emplace_back(tokenizer.piece(id));
  return all;
}

}  // namespace

std::vector<int64_t> match_labels(const ModelConfig& student, const ModelConfig& teacher) {
  const std::string different = difference(student.labels, teacher.labels);
  if (!different.empty() || student.labels.size() != teacher.labels.size()) {
    bad_input("teacher", fmt::format("has other labels than the student ({} and {}): {}", teacher.labels.size(),
                                     student.labels.size(), different.empty() ? "one stands twice" : different));
  }
  std::vector<int64_t> columns;
  for (const std::string& label : student.labels) {
    columns.push_back(std::ranges::find(teacher.labels, label) - teacher.labels.begin());
  }
  return columns;
}

void check_vocabulary(const Model& student, const Model& teacher) {
  if (student.tokenizer == teacher.tokenizer) return;
  constexpr const char* kHint =
      "match logits only and allow another vocabulary (--allow-other-vocabulary): each side then cuts the texts for "
      "itself";
  const std::vector<std::string> ours = pieces(*student.tokenizer);
  const std::vector<std::string> theirs = pieces(*teacher.tokenizer);
  if (ours == theirs) return;
  const std::string different = difference(ours, theirs);
  if (!different.empty()) {
    bad_input("teacher",
              fmt::format("has another vocabulary than the student ({} and {} pieces): {}", theirs.size(), ours.size(),
                          different),
              kHint);
  }
  const auto [mine, other] = std::ranges::mismatch(ours, theirs);
  const std::string piece = mine == ours.end() ? "none" : "'" + printable(*mine) + "'";
  const std::string instead = other == theirs.end() ? "none" : "'" + printable(*other) + "'";
  bad_input("teacher",
            fmt::format("has the student's vocabulary under other ids: {} is {} in the student, {} in the teacher",
                        mine - ours.begin(), piece, instead),
            kHint);
}

void check_tokens(const TokenizedTexts& student, const TokenizedTexts& teacher) {
  for (int64_t i = 0; i < student.size(); ++i) {
    const auto ids = [i](const TokenizedTexts& texts) {
      return std::span(texts.ids).subspan(static_cast<size_t>(texts.offsets[i]), static_cast<size_t>(texts.length(i)));
    };
    if (std::ranges::equal(ids(student), ids(teacher))) continue;
    bad_input("teacher", fmt::format("cuts text {} into other tokens than the student", i + 1),
              "their tokenizers differ in more than the vocabulary; match logits only");
  }
}

}  // namespace fettle
