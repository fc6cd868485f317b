#include "text/json_scanner.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/error.h"
#include "base/printable.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace fettle {
namespace {

// Infinity beyond the range of a double.
double power_of_ten(int64_t exponent) {
  if (exponent > 308) return std::numeric_limits<double>::infinity();
  const std::string text = fmt::format("1e{}", exponent);
  double power = 0;
  std::from_chars(text.data(), text.data() + text.size(), power);
  return power;
}

}  // namespace

void JsonScanner::skip_space() {
  while (at_ < text_.size() && std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos) ++at_;
}

void JsonScanner::expect(char c) {
  if (!accept(c)) refuse(fmt::format("'{}' expected", c));
}

void JsonScanner::refuse(std::string_view why) const {
  bad_input(where_, fmt::format("the vocabulary is not valid JSON at its byte {}: {}", at_, why));
}

std::string JsonScanner::parse_string() {
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

void JsonScanner::parse_escape(std::string& out) {
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
char32_t JsonScanner::parse_hex() {
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

int64_t JsonScanner::parse_id(const std::string& piece) {
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

double JsonScanner::parse_number() {
  const bool is_negative = accept('-');
  if (peek() < '0' || peek() > '9') refuse("a number expected");
  uint64_t digits = 0;
  int64_t exponent = 0;
  bool is_full = false;  // further digits are passed over
  const auto take_digits = [&](bool behind_point) {
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      const auto digit = static_cast<uint64_t>(peek() - '0');
      is_full = is_full || digits > (std::numeric_limits<uint64_t>::max() - digit) / 10;
      if (!is_full) digits = digits * 10 + digit;
      exponent += (is_full ? 1 : 0) - (behind_point ? 1 : 0);
    }
  };
  take_digits(false);
  if (accept('.')) take_digits(true);
  if (accept('e') || accept('E')) {
    const bool shrinks = accept('-');
    if (!shrinks) accept('+');
    int64_t given = 0;
    if (peek() < '0' || peek() > '9') refuse("a number expected");
    for (; peek() >= '0' && peek() <= '9'; ++at_) given = std::min<int64_t>(10 * given + (peek() - '0'), 1'000'000);
    exponent += shrinks ? -given : given;
  }
  auto value = static_cast<double>(digits);
  const double power = power_of_ten(std::abs(exponent));
  if (digits != 0) value = exponent < 0 ? value / power : value * power;
  if (!std::isfinite(value)) refuse("a number out of range");
  return is_negative ? -value : value;
}

}  // namespace fettle
