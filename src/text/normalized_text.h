// BertNormalizer and BertPreTokenizer step by step, keeping track of where each character came from. The plain twin of
// WordSplitter: slower, with offsets, and what WordSplitter is tested against.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace fettle {

struct NormalizedChar {
  char32_t code = 0;
  int32_t begin = 0, end = 0;  // code points of the source that it stands for
};
using NormalizedText = std::vector<NormalizedChar>;

// The code points of well-formed UTF-8 as they are, numbered from `first` on.
NormalizedText number_chars(std::string_view text, int32_t first);
// One character of a new text, and how many characters of the old one it stands for beside its own: with a negative
// number it takes so many more, an added one (a positive number) takes none.
struct Change {
  char32_t code = 0;
  int64_t change = 0;
};
// The Rust library's `NormalizedString::transform`: an added character has the source of what stands before it.
NormalizedText transform(const NormalizedText& text, const std::vector<Change>& changes);

// Normalizes well-formed UTF-8 whose first code point has number `first`.
NormalizedText normalize(std::string_view text, int32_t first, const WordPieceOptions& options);

// [begin, end) of each word, punctuation marks alone and white space left out.
std::vector<std::pair<size_t, size_t>> pre_tokenize(const NormalizedText& text);

std::string to_utf8(const NormalizedText& text, size_t begin, size_t end);

}  // namespace fettle
