#include "text/normalized_text.h"

#include <algorithm>

#include "text/normal_forms.h"
#include "text/unicode.h"

namespace fettle {
namespace {

uint8_t flags_of(char32_t code) {
  return unicode::CharTable::get().flags(code);
}

NormalizedText clean(const NormalizedText& text) {
  NormalizedText out;
  for (NormalizedChar c : text) {
    const uint8_t flags = flags_of(c.code);
    if (flags & unicode::kRemoved) continue;
    if (flags & unicode::kSpace) c.code = ' ';
    out.push_back(c);
  }
  return out;
}

NormalizedText surround_chinese(const NormalizedText& text) {
  NormalizedText out;
  for (const NormalizedChar& c : text) {
    const bool chinese = flags_of(c.code) & unicode::kChinese;
    if (chinese) out.push_back({' ', c.begin, c.end});
    out.push_back(c);
    if (chinese) out.push_back({' ', c.begin, c.end});
  }
  return out;
}

NormalizedText drop_marks(NormalizedText text) {
  std::erase_if(text, [](const NormalizedChar& c) { return (flags_of(c.code) & unicode::kMark) != 0; });
  return text;
}

NormalizedText lowercase(const NormalizedText& text) {
  NormalizedText out;
  for (const NormalizedChar& c : text) {
    const unicode::CharSequence lower = unicode::to_lower(c.code);
    for (int i = 0; i < lower.size; ++i) out.push_back({lower.codes[i], c.begin, c.end});
  }
  return out;
}

}  // namespace

NormalizedText number_chars(std::string_view text, int32_t first) {
  NormalizedText out;
  const char* p = text.data();
  const char* end = p + text.size();
  while (p != end) {
    const unicode::DecodedChar next = unicode::decode_utf8(p, end);
    out.push_back({next.code, first, first + 1});
    ++first;
    p += next.n_bytes;
  }
  return out;
}

NormalizedText transform(const NormalizedText& text, const std::vector<Change>& changes) {
  NormalizedText out;
  out.reserve(changes.size());
  size_t at = 0;
  for (const auto& [code, change] : changes) {
    const int32_t start = text.empty() ? 0 : text.front().begin;
    NormalizedChar next{code, start, start};
    const size_t source = change > 0 ? at - 1 : at;
    if (source < text.size()) next = {code, text[source].begin, text[source].end};
    out.push_back(next);
    if (change <= 0) at += static_cast<size_t>(1 - change);
  }
  return out;
}

NormalizedText normalize(std::string_view text, int32_t first, const WordPieceOptions& options) {
  NormalizedText out = number_chars(text, first);
  if (options.clean_text) out = clean(out);
  if (options.split_chinese) out = surround_chinese(out);
  if (options.strips_accents()) out = drop_marks(decompose_canonically(out));
  if (options.lowercase) out = lowercase(out);
  return out;
}

std::vector<std::pair<size_t, size_t>> pre_tokenize(const NormalizedText& text) {
  std::vector<std::pair<size_t, size_t>> words;
  bool open = false;  // the last word may grow
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t flags = flags_of(text[i].code);
    if (flags & unicode::kSpace) {
      open = false;
    } else if (flags & unicode::kPunctuation) {
      words.emplace_back(i, i + 1);
      open = false;
    } else if (open) {
      words.back().second = i + 1;
    } else {
      words.emplace_back(i, i + 1);
      open = true;
    }
  }
  return words;
}

std::string to_utf8(const NormalizedText& text, size_t begin, size_t end) {
  std::string out;
  for (size_t i = begin; i < end; ++i) unicode::append_utf8(text[i].code, out);
  return out;
}

}  // namespace fettle
