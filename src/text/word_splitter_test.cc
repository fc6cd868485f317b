#include "text/word_splitter.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/philox.h"
#include "text/normalized_text.h"
#include "text/oracle_test.h"

namespace fettle {
namespace {

struct SplitWord {
  std::string text;
  bool too_long = false;
  bool operator==(const SplitWord&) const = default;
};

std::ostream& operator<<(std::ostream& out, const SplitWord& word) {
  return out << '"' << word.text << '"';
}

std::vector<SplitWord> fast_split(std::string_view text, const WordPieceOptions& options) {
  std::vector<SplitWord> out;
  WordSplitter(options).split(text, [&](const NormalizedWord& word) {
    out.push_back({word.too_long ? "" : std::string(word.text), word.too_long});
    return true;
  });
  return out;
}

std::vector<SplitWord> plain_split(std::string_view text, const WordPieceOptions& options) {
  const NormalizedText normalized = normalize(text, 0, options);
  std::vector<SplitWord> out;
  for (const auto& [begin, end] : pre_tokenize(normalized)) {
    const bool too_long = std::cmp_greater(end - begin, options.max_input_chars_per_word);
    out.push_back({too_long ? "" : to_utf8(normalized, begin, end), too_long});
  }
  return out;
}

WordPieceOptions options_from_bits(int bits) {
  WordPieceOptions options{
      .lowercase = (bits & 1) != 0, .clean_text = (bits & 2) != 0, .split_chinese = (bits & 4) != 0};
  options.strip_accents = (bits & 8) != 0;
  if (bits & 16) options.max_input_chars_per_word = 3;
  return options;
}

TEST(WordSplitter, AgreesWithItsPlainTwinOnTrickyTexts) {
  const auto texts = testing::tricky_texts(400, 11);
  for (int bits = 0; bits < 32; ++bits) {
    const WordPieceOptions options = options_from_bits(bits);
    for (const std::string& text : texts) ASSERT_EQ(fast_split(text, options), plain_split(text, options)) << bits;
  }
}

TEST(WordSplitter, AgreesWithItsPlainTwinOnAnyBytes) {
  Philox random(12);
  for (int i = 0; i < 20000; ++i) {
    std::string text(random.below(24), '\0');
    for (char& byte : text) byte = static_cast<char>(random.below(256) | (random.below(2) ? 0xc0 : 0));
    const WordPieceOptions options = options_from_bits(static_cast<int>(random.below(32)));
    ASSERT_EQ(fast_split(text, options), plain_split(text, options)) << "iteration " << i;
  }
}

TEST(WordSplitter, StopsWhenTold) {
  int n = 0;
  WordSplitter({}).split("one two three", [&](const NormalizedWord&) { return ++n < 2; });
  EXPECT_EQ(n, 2);
}

TEST(WordSplitter, IsLinearInHostileTexts) {
  const int n = 1'000'000;
  std::string marks = "e";
  for (int i = 0; i < n; ++i) marks += i % 2 ? "\u0301" : "\u302e";
  const std::vector<SplitWord> words = fast_split(marks, {});
  ASSERT_EQ(words.size(), 1u);
  EXPECT_TRUE(words[0].too_long);
  EXPECT_EQ(fast_split(std::string(static_cast<size_t>(n), 'x'), {}), (std::vector<SplitWord>{{"", true}}));
  EXPECT_TRUE(fast_split(std::string(static_cast<size_t>(n), '\0'), {}).empty());
  EXPECT_EQ(fast_split(std::string(static_cast<size_t>(n), '!'), {}).size(), static_cast<size_t>(n));
}

TEST(WordSplitter, KeepsLongWordsWhenTheLimitAllows) {
  const WordPieceOptions options{.max_input_chars_per_word = 100'000};
  EXPECT_EQ(fast_split(std::string(100'000, 'X'), options),
            (std::vector<SplitWord>{{std::string(100'000, 'x'), false}}));
  EXPECT_EQ(fast_split(std::string(100'001, 'X'), options), (std::vector<SplitWord>{{"", true}}));
}

}  // namespace
}  // namespace fettle
