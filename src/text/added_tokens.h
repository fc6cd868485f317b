// Added tokens of a tokenizer.json: texts that are found in the input before the model sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fettle {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = false;
  bool single_word = false;  // only between non-word characters
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // and behind it
  bool normalized = false;   // looked for in the normalized text
};

// A stretch of text, [begin, end) in bytes; a match of token `id` unless that is absent.
struct TextSplit {
  size_t begin = 0, end = 0;
  std::optional<int32_t> id;
};

// Finds tokens leftmost first, the longest at each place. Immutable.
class AddedTokenMatcher {
 public:
  struct Pattern {
    std::string text;  // what to look for; not empty
    const AddedToken* token;
  };
  explicit AddedTokenMatcher(std::vector<Pattern> patterns);

  bool empty() const { return patterns_.empty(); }
  // Cuts well-formed UTF-8 at the matches; empty stretches are left out. `split_special`: special tokens do not match.
  std::vector<TextSplit> split(std::string_view text, bool split_special) const;

 private:
  // Longest pattern that the text has at `at`, nullptr when none.
  const Pattern* match_at(std::string_view text, size_t at) const;
  static bool stands_alone(std::string_view text, size_t begin, size_t end);

  std::vector<Pattern> patterns_;  // sorted by text
  bool starts_[256] = {};
};

}  // namespace fettle
