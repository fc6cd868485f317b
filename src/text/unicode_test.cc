#include "text/unicode.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace fettle::unicode {
namespace {

using namespace std::string_literals;

TEST(Utf8, ReplacesEachMaximalIllFormedPart) {
  // Expected values: Python's bytes.decode("utf-8", "replace").
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"abc", "abc"},
      {"\x80", "\ufffd"},
      {"\xc0\xaf", "\ufffd\ufffd"},
      {"\xe0\x80\xaf", "\ufffd\ufffd\ufffd"},
      {"\xf0\x80\x80\xaf", "\ufffd\ufffd\ufffd\ufffd"},
      {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
      {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
      {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "\ufffd\ufffd\ufffd\ufffd\x41"},
      {"a\xf0\x9f\x91", "a\ufffd"},
      {"\xff\xfe", "\ufffd\ufffd"},
      {"é\0日𝄞"s, "é\0日𝄞"s},
  };
  for (const auto& [bytes, expected] : cases) {
    EXPECT_EQ(replace_invalid_utf8(bytes), expected);
    EXPECT_EQ(is_valid_utf8(bytes), bytes == expected);
  }
}

TEST(Utf8, EncodesWhatItDecodes) {
  for (char32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    std::string text;
    append_utf8(code, text);
    const DecodedChar decoded = decode_utf8(text.data(), text.data() + text.size());
    ASSERT_TRUE(decoded.valid);
    ASSERT_EQ(decoded.code, code);
    ASSERT_EQ(decoded.n_bytes, static_cast<int>(text.size()));
  }
}

std::vector<char32_t> codes(const CharSequence& sequence) {
  return {sequence.codes.begin(), sequence.codes.begin() + sequence.size};
}

TEST(Unicode, DecomposesAndLowersAsTheStandardSays) {
  using Codes = std::vector<char32_t>;
  EXPECT_EQ(codes(decompose(0xe9)), (Codes{'e', 0x301}));
  EXPECT_EQ(codes(decompose(0x1e69)), (Codes{'s', 0x323, 0x307}));
  EXPECT_EQ(codes(decompose(0xac00)), (Codes{0x1100, 0x1161}));
  EXPECT_EQ(codes(decompose(0xd55c)), (Codes{0x1112, 0x1161, 0x11ab}));
  EXPECT_EQ(codes(decompose(0xfb01)), Codes{0xfb01}) << "compatibility decompositions stay";
  EXPECT_EQ(codes(decompose(0x1f82)), (Codes{0x3b1, 0x313, 0x300, 0x345}));
  EXPECT_EQ(codes(to_lower('A')), Codes{'a'});
  EXPECT_EQ(codes(to_lower(0x130)), (Codes{'i', 0x307}));
  EXPECT_EQ(codes(to_lower(0x3a3)), Codes{0x3c3}) << "no final sigma";
  EXPECT_LT(combining_rank(0x334), combining_rank(0x316));
  EXPECT_LT(combining_rank(0x316), combining_rank(0x300));
  EXPECT_LT(combining_rank(0x300), combining_rank(0x345));
  EXPECT_EQ(combining_rank('a'), 0);
}

}  // namespace
}  // namespace fettle::unicode
