// The ByteLevel pre-tokenizer of GPT-2 and RoBERTa: bytes as printable characters, and its pattern of words by hand.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/unicode.h"

namespace fettle {

// GPT-2's `bytes_to_unicode` (Radford et al. 2019): printable Latin-1 stands for itself, the rest for U+0100 and on.
class ByteAlphabet {
 public:
  static const ByteAlphabet& get();

  std::string_view text_of(uint8_t byte) const { return {texts_[byte].bytes.data(), texts_[byte].size}; }
  // The byte that a character stands for, -1 for none.
  int byte_of(char32_t code) const { return code < bytes_.size() ? bytes_[code] : -1; }

 private:
  ByteAlphabet();
  struct Text {
    std::array<char, 2> bytes{};
    uint8_t size = 0;
  };
  std::array<Text, 256> texts_;
  std::array<int16_t, 324> bytes_;
};

// The end of the word at `at` in well-formed UTF-8, as the pattern
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// cuts it. `at` < text.size(); the words are the whole text.
size_t end_of_word(std::string_view text, size_t at);

}  // namespace fettle
