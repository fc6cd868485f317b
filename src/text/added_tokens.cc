#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

#include <utf8proc.h>

#include "text/unicode.h"

namespace fettle {
namespace {

// `\w` of the reference's regular expressions: alphabetic, mark, decimal number, connector punctuation, joiner.
bool is_word_char(char32_t code) {
  if (code == 0x200c || code == 0x200d) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return (code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) ||
             (code >= 0x1f150 && code <= 0x1f169) || (code >= 0x1f170 && code <= 0x1f189);
  }
}

bool is_space(char32_t code) {
  return unicode::CharTable::get().flags(code) & unicode::kSpace;
}

char32_t char_at(std::string_view text, size_t at, size_t* size) {
  const unicode::DecodedChar c = unicode::decode_utf8(text.data() + at, text.data() + text.size());
  *size = static_cast<size_t>(c.n_bytes);
  return c.code;
}

size_t previous_char(std::string_view text, size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  return at;
}

size_t skip_spaces_back(std::string_view text, size_t at, size_t stop) {
  while (at > stop) {
    size_t size;
    const size_t before = previous_char(text, at);
    if (!is_space(char_at(text, before, &size))) break;
    at = before;
  }
  return std::max(at, stop);
}

size_t skip_spaces(std::string_view text, size_t at) {
  while (at < text.size()) {
    size_t size;
    if (!is_space(char_at(text, at, &size))) break;
    at += size;
  }
  return at;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<Pattern> patterns) : patterns_(std::move(patterns)) {
  std::stable_sort(patterns_.begin(), patterns_.end(),
                   [](const Pattern& a, const Pattern& b) { return a.text < b.text; });
  for (const Pattern& pattern : patterns_) starts_[static_cast<unsigned char>(pattern.text[0])] = true;
}

const AddedTokenMatcher::Pattern* AddedTokenMatcher::match_at(std::string_view text, size_t at) const {
  const std::string_view rest = text.substr(at);
  auto first = patterns_.begin(), last = patterns_.end();
  const Pattern* best = nullptr;
  // Narrows the sorted patterns to those that agree with the text in the first `depth` bytes.
  for (size_t depth = 0; first != last; ++depth) {
    if (first->text.size() == depth) {
      best = &*first;
      while (first != last && first->text.size() == depth) ++first;
    }
    if (depth == rest.size()) break;
    const auto byte = static_cast<unsigned char>(rest[depth]);
    const auto byte_of = [depth](const Pattern& p) { return static_cast<unsigned char>(p.text[depth]); };
    first = std::partition_point(first, last, [&](const Pattern& p) { return byte_of(p) < byte; });
    last = std::partition_point(first, last, [&](const Pattern& p) { return byte_of(p) == byte; });
  }
  return best;
}

bool AddedTokenMatcher::stands_alone(std::string_view text, size_t begin, size_t end) {
  size_t size;
  if (begin > 0 && is_word_char(char_at(text, previous_char(text, begin), &size))) return false;
  return end == text.size() || !is_word_char(char_at(text, end, &size));
}

std::vector<TextSplit> AddedTokenMatcher::split(std::string_view text, bool split_special) const {
  std::vector<TextSplit> out;
  size_t done = 0, at = 0;
  while (at < text.size() && !patterns_.empty()) {
    if (!starts_[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    const Pattern* match = match_at(text, at);
    if (!match) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + match->text.size();
    at = end;
    const AddedToken& token = *match->token;
    if (split_special && token.special) continue;
    if (token.single_word && !stands_alone(text, begin, end)) continue;
    if (token.lstrip) begin = skip_spaces_back(text, begin, done);
    if (token.rstrip) end = skip_spaces(text, end);
    begin = std::max(begin, done);
    if (end <= begin) continue;
    if (begin > done) out.push_back({done, begin, std::nullopt});
    out.push_back({begin, end, token.id});
    done = end;
  }
  if (done < text.size()) out.push_back({done, text.size(), std::nullopt});
  return out;
}

}  // namespace fettle
