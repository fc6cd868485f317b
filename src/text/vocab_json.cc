#include "text/vocab_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "base/printable.h"
#include "text/json_scanner.h"
#include "text/tokenizer_spec.h"

namespace fettle {
namespace {

bool is_json_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

size_t skip_space(std::string_view text, size_t at) {
  while (at < text.size() && is_json_space(text[at])) ++at;
  return at;
}

// `at` is behind the opening quote; returns the place of the closing one, or the end of the text.
size_t find_quote(std::string_view text, size_t at) {
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  return std::min(at, text.size());
}

// `at` is at an opening brace or bracket; returns the place behind the closing one, or the end of the text.
size_t find_end(std::string_view text, size_t at) {
  int64_t depth = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == '"') at = find_quote(text, at + 1);
    if (at >= text.size()) break;
    if (text[at] == '{' || text[at] == '[') ++depth;
    if ((text[at] == '}' || text[at] == ']') && --depth == 0) return at + 1;
  }
  return text.size();
}

// Calls item() for each member of the array or object between `open` and `close`, and checks that nothing follows.
template <typename Item>
void for_each_item(JsonScanner& scanner, char open, char close, Item&& item) {
  scanner.skip_space();
  scanner.expect(open);
  scanner.skip_space();
  if (!scanner.accept(close)) {
    do {
      scanner.skip_space();
      item();
      scanner.skip_space();
    } while (scanner.accept(','));
    scanner.expect(close);
  }
  scanner.skip_space();
  if (!scanner.at_end()) scanner.refuse("unexpected text");
}

void check_count(size_t n, const std::string& where) {
  if (std::cmp_greater(n, kMaxVocabulary)) bad_input(where, fmt::format("more than {} pieces", kMaxVocabulary));
}

}  // namespace

ModelCut cut_out_model(std::string_view json) {
  ModelCut cut;
  int64_t depth = 0;
  bool in_model = false;
  size_t kept = 0;
  for (size_t at = 0; at < json.size(); ++at) {
    const char c = json[at];
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (c != '"') continue;
    const size_t begin = at + 1;
    at = find_quote(json, begin);
    const size_t colon = skip_space(json, at + 1);
    if (colon >= json.size() || json[colon] != ':') continue;
    const std::string_view key = json.substr(begin, at - begin);
    if (depth == 1) in_model = key == "model";
    std::string_view* part = key == "vocab" ? &cut.vocab : key == "merges" ? &cut.merges : nullptr;
    if (depth != 2 || !in_model || part == nullptr || !part->empty()) continue;
    const size_t value = skip_space(json, colon + 1);
    if (value >= json.size() || (json[value] != '{' && json[value] != '[')) continue;
    const size_t end = find_end(json, value);
    *part = json.substr(value, end - value);
    cut.rest.append(json.substr(kept, value - kept)).append(json[value] == '{' ? "{}" : "[]");
    kept = end;
    at = end - 1;
  }
  cut.rest.append(json.substr(kept));
  return cut;
}

std::vector<std::string> parse_vocab_object(std::string_view object, const std::string& where) {
  std::vector<std::pair<std::string, int64_t>> entries;
  JsonScanner scanner(object, where);
  for_each_item(scanner, '{', '}', [&] {
    std::string piece = scanner.parse_string();
    scanner.skip_space();
    scanner.expect(':');
    scanner.skip_space();
    const int64_t id = scanner.parse_id(piece);
    entries.emplace_back(std::move(piece), id);
    check_count(entries.size(), where);
  });
  int64_t highest = -1;
  for (const auto& entry : entries) highest = std::max(highest, entry.second);
  // Holes come from duplicate lines of a vocab.txt; many of them are a lie that would cost memory.
  if (highest >= 2 * std::ssize(entries) + 1024) {
    bad_input(where, fmt::format("highest id {} for a vocabulary of {} pieces", highest, entries.size()));
  }
  std::vector<std::string> pieces(static_cast<size_t>(highest + 1));
  std::vector<bool> used(pieces.size());
  for (auto& [piece, id] : entries) {
    const auto i = static_cast<size_t>(id);
    if (used[i]) {
      bad_input(where,
                fmt::format("id {} has two pieces, \"{}\" and \"{}\"", id, printable(pieces[i]), printable(piece)));
    }
    used[i] = true;
    pieces[i] = std::move(piece);
  }
  return pieces;
}

std::vector<ScoredPiece> parse_scored_pieces(std::string_view array, const std::string& where) {
  std::vector<ScoredPiece> pieces;
  JsonScanner scanner(array, where);
  for_each_item(scanner, '[', ']', [&] {
    scanner.expect('[');
    scanner.skip_space();
    ScoredPiece& piece = pieces.emplace_back();
    piece.text = scanner.parse_string();
    scanner.skip_space();
    scanner.expect(',');
    scanner.skip_space();
    piece.score = scanner.parse_number();
    scanner.skip_space();
    scanner.expect(']');
    check_count(pieces.size(), where);
  });
  return pieces;
}

std::vector<MergeRule> parse_merges_array(std::string_view array, const std::string& where) {
  std::vector<MergeRule> merges;
  JsonScanner scanner(array, where);
  for_each_item(scanner, '[', ']', [&] {
    MergeRule& merge = merges.emplace_back();
    if (scanner.accept('[')) {
      scanner.skip_space();
      merge.left = scanner.parse_string();
      scanner.skip_space();
      scanner.expect(',');
      scanner.skip_space();
      merge.right = scanner.parse_string();
      scanner.skip_space();
      scanner.expect(']');
    } else {
      merge = split_merge(scanner.parse_string(), where);
    }
    check_count(merges.size(), where);
  });
  return merges;
}

MergeRule split_merge(std::string_view text, const std::string& where) {
  const size_t space = text.find(' ');
  if (space == text.npos || space == 0 || space + 1 == text.size() || text.find(' ', space + 1) != text.npos) {
    bad_input(where, fmt::format("\"{}\" is no merge", printable(text)), "two pieces with a space between them");
  }
  return {std::string(text.substr(0, space)), std::string(text.substr(space + 1))};
}

std::string format_vocab_object(const std::vector<std::string>& pieces) {
  std::string out = "{";
  for (size_t id = 0; id < pieces.size(); ++id) {
    // An unused id is left out, but for the last: it tells how many there are.
    if (pieces[id].empty() && id + 1 < pieces.size()) continue;
    out += out.size() > 1 ? ",\n      " : "\n      ";
    out += Json(pieces[id]).dump();
    out += fmt::format(": {}", id);
  }
  return out + "\n    }";
}

std::string format_merges_array(const std::vector<MergeRule>& merges) {
  std::string out = "[";
  for (const MergeRule& merge : merges) {
    out += out.size() > 1 ? ",\n      " : "\n      ";
    out += Json(merge.left + " " + merge.right).dump();
  }
  return out + "\n    ]";
}

}  // namespace fettle
