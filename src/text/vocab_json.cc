#include "text/vocab_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/error.h"
#include "base/printable.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

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

// `at` is at an opening brace; returns the place behind the closing one, or the end of the text.
size_t find_object_end(std::string_view text, size_t at) {
  int64_t depth = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == '"') at = find_quote(text, at + 1);
    if (at >= text.size()) break;
    if (text[at] == '{') ++depth;
    if (text[at] == '}' && --depth == 0) return at + 1;
  }
  return text.size();
}

class VocabParser {
 public:
  VocabParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  std::vector<std::pair<std::string, int64_t>> parse() {
    std::vector<std::pair<std::string, int64_t>> entries;
    expect('{');
    at_ = skip_space(text_, at_);
    if (peek() == '}') return entries;
    do {
      at_ = skip_space(text_, at_);
      std::string piece = parse_string();
      at_ = skip_space(text_, at_);
      expect(':');
      at_ = skip_space(text_, at_);
      const int64_t id = parse_id(piece);
      entries.emplace_back(std::move(piece), id);
      if (static_cast<int64_t>(entries.size()) > kMaxVocabulary) {
        bad_input(where_, fmt::format("vocabulary of more than {} pieces", kMaxVocabulary));
      }
      at_ = skip_space(text_, at_);
    } while (accept(','));
    expect('}');
    if (at_ != text_.size()) refuse("unexpected text");
    return entries;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) refuse(fmt::format("'{}' expected", c));
  }

  [[noreturn]] void refuse(std::string_view why) const {
    bad_input(where_, fmt::format("model.vocab is not valid JSON at its byte {}: {}", at_, why));
  }

  std::string parse_string() {
    expect('"');
    const size_t begin = at_;
    size_t end = begin;
    bool plain = true;
    while (end < text_.size() && text_[end] != '"' && text_[end] != '\\') {
      plain = plain && static_cast<unsigned char>(text_[end]) >= 0x20;
      ++end;
    }
    if (!plain) refuse("control character in a string");
    std::string out(text_.substr(begin, end - begin));
    at_ = end;
    while (peek() == '\\') {
      parse_escape(out);
      end = at_;
      while (end < text_.size() && text_[end] != '"' && text_[end] != '\\') {
        if (static_cast<unsigned char>(text_[end]) < 0x20) refuse("control character in a string");
        ++end;
      }
      out.append(text_.substr(at_, end - at_));
      at_ = end;
    }
    expect('"');
    if (out.size() > kMaxPieceBytes) refuse(fmt::format("a piece longer than {} bytes", kMaxPieceBytes));
    if (!unicode::is_valid_utf8(out)) refuse("invalid UTF-8");
    return out;
  }

  void parse_escape(std::string& out) {
    ++at_;
    const char c = peek();
    constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
    if (const size_t i = kNames.find(c); i != kNames.npos && at_ < text_.size()) {
      out += kValues[i];
      ++at_;
      return;
    }
    if (c != 'u') refuse("unknown escape");
    char32_t code = parse_hex();
    if (code >= 0xd800 && code < 0xdc00) {
      if (text_.substr(at_, 2) != "\\u") refuse("lone surrogate");
      ++at_;
      const char32_t low = parse_hex();
      if (low < 0xdc00 || low > 0xdfff) refuse("lone surrogate");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
      refuse("lone surrogate");
    }
    unicode::append_utf8(code, out);
  }

  // At the 'u' of an escape.
  char32_t parse_hex() {
    char32_t code = 0;
    for (size_t i = 1; i <= 4; ++i) {
      const char c = at_ + i < text_.size() ? text_[at_ + i] : '\0';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) refuse("four hexadecimal digits expected");
      code = code << 4 | static_cast<char32_t>(digit);
    }
    at_ += 5;
    return code;
  }

  int64_t parse_id(const std::string& piece) {
    const auto bad = [&](std::string_view why) {
      bad_input(where_, fmt::format("id of \"{}\" {}", printable(piece), why));
    };
    if (peek() == '-') bad("is negative");
    if (peek() < '0' || peek() > '9') bad("is not an integer");
    const bool leading_zero = peek() == '0';
    int64_t id = 0;
    int n_digits = 0;
    for (; peek() >= '0' && peek() <= '9'; ++at_, ++n_digits) {
      id = id * 10 + (peek() - '0');
      if (id >= kMaxVocabulary) bad(fmt::format("is not below {}", kMaxVocabulary));
    }
    if ((leading_zero && n_digits > 1) || peek() == '.' || peek() == 'e' || peek() == 'E') bad("is not an integer");
    return id;
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

}  // namespace

VocabCut cut_out_vocab(std::string_view json) {
  int64_t depth = 0;
  bool in_model = false;
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
    if (depth != 2 || !in_model || key != "vocab") continue;
    const size_t value = skip_space(json, colon + 1);
    if (value >= json.size() || json[value] != '{') continue;
    const size_t end = find_object_end(json, value);
    std::string rest(json.substr(0, value));
    rest.append("{}").append(json.substr(end));
    return {std::move(rest), json.substr(value, end - value)};
  }
  return {std::string(json), {}};
}

std::vector<std::string> parse_vocab_object(std::string_view object, const std::string& where) {
  auto entries = VocabParser(object, where).parse();
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

}  // namespace fettle
