#include "text/word_splitter.h"

#include <fmt/format.h>

#include "base/error.h"

namespace fettle {

WordSplitter::WordSplitter(const WordPieceOptions& options)
    : table_(unicode::CharTable::get()),
      max_chars_(options.max_input_chars_per_word),
      clean_(options.clean_text),
      split_chinese_(options.split_chinese),
      strip_(options.strips_accents()),
      lower_(options.lowercase) {
  if (max_chars_ < 0 || max_chars_ > kMaxInputCharsPerWord) {
    usage_error("max_input_chars_per_word", fmt::format("{} is not in [0, {}]", max_chars_, kMaxInputCharsPerWord));
  }
  for (char32_t code = 0; code < 0x80; ++code) {
    const uint8_t flags = table_.flags(code);
    AsciiEntry& entry = ascii_[code];
    entry.byte = static_cast<char>(lower_ ? unicode::to_lower(code).codes[0] : code);
    entry.action = Action::kAppend;
    if (flags & unicode::kPunctuation) entry.action = Action::kPunctuation;
    if (flags & unicode::kSpace) entry.action = Action::kSpace;
    if (clean_ && (flags & unicode::kRemoved)) entry.action = Action::kDrop;
  }
}

}  // namespace fettle
