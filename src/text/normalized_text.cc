#include "text/normalized_text.h"

#include <algorithm>

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

// NFD (Unicode standard annex 15). As in the reference, the characters after reordering take their sources in the
// order of the text, not along with their marks: the n-th one that began a decomposition gets the n-th source.
NormalizedText decompose_canonically(const NormalizedText& text) {
  struct Part {
    char32_t code;
    int rank;
    bool begins;
  };
  std::vector<Part> parts;
  size_t run = 0;
  const auto sort_run = [&] {
    std::stable_sort(parts.begin() + static_cast<std::ptrdiff_t>(run), parts.end(),
                     [](const Part& a, const Part& b) { return a.rank < b.rank; });
    run = parts.size();
  };
  for (const NormalizedChar& c : text) {
    const unicode::CharSequence codes = unicode::decompose(c.code);
    for (int i = 0; i < codes.size; ++i) {
      const int rank = unicode::combining_rank(codes.codes[i]);
      if (rank == 0) sort_run();
      parts.push_back({codes.codes[i], rank, i == 0});
      if (rank == 0) run = parts.size();
    }
  }
  sort_run();
  NormalizedText out;
  size_t n_begun = 0;
  for (const Part& part : parts) {
    if (part.begins) ++n_begun;
    const NormalizedChar& source = text[n_begun == 0 ? 0 : n_begun - 1];
    out.push_back({part.code, source.begin, source.end});
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
