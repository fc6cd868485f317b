#include "text/byte_level.h"

namespace fettle {
namespace {

using unicode::WordClass;

struct ClassedChar {
  WordClass word_class;
  size_t n_bytes;
};

class Classifier {
 public:
  explicit Classifier(std::string_view text) : text_(text), table_(unicode::WordClassTable::get()) {}

  ClassedChar at(size_t at) const {
    const auto byte = static_cast<unsigned char>(text_[at]);
    if (byte < 0x80) return {table_.of(byte), 1};
    const unicode::DecodedChar next = unicode::decode_utf8(text_.data() + at, text_.data() + text_.size());
    return {table_.of(next.code), static_cast<size_t>(next.n_bytes)};
  }

  // The end of the run of characters of one class that has begun before `at`.
  size_t end_of_run(WordClass word_class, size_t at) const {
    while (at < text_.size()) {
      const ClassedChar next = this->at(at);
      if (next.word_class != word_class) break;
      at += next.n_bytes;
    }
    return at;
  }

 private:
  std::string_view text_;
  const unicode::WordClassTable& table_;
};

// Length of 's, 't, 're, 've, 'm, 'll, 'd behind the apostrophe at `at`; 0 for none.
size_t contraction(std::string_view text, size_t at) {
  const std::string_view rest = text.substr(at + 1, 2);
  if (rest.empty()) return 0;
  if (rest == "re" || rest == "ve" || rest == "ll") return 2;
  return std::string_view("stmd").find(rest[0]) != std::string_view::npos ? 1 : 0;
}

}  // namespace

const ByteAlphabet& ByteAlphabet::get() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool is_printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    const char32_t code = is_printable ? static_cast<char32_t>(byte) : next++;
    bytes_[code] = static_cast<int16_t>(byte);
    Text& text = texts_[static_cast<size_t>(byte)];
    text.size = static_cast<uint8_t>(code < 0x80 ? 1 : 2);
    if (code < 0x80) {
      text.bytes[0] = static_cast<char>(code);
    } else {
      text.bytes = {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
    }
  }
}

size_t end_of_word(std::string_view text, size_t at) {
  const Classifier classes(text);
  const ClassedChar first = classes.at(at);
  const size_t behind = at + first.n_bytes;
  if (first.word_class != unicode::kSpaceClass) {
    if (text[at] == '\'') {
      if (const size_t n = contraction(text, at); n > 0) return behind + n;
    }
    return classes.end_of_run(first.word_class, behind);
  }
  // White space before a word belongs to no word but for its last character, and that only when it is a plain space.
  size_t last = at, end = behind;
  while (end < text.size()) {
    const ClassedChar next = classes.at(end);
    if (next.word_class != unicode::kSpaceClass) {
      if (last > at) return last;
      return text[at] == ' ' ? classes.end_of_run(next.word_class, end + next.n_bytes) : end;
    }
    last = end;
    end += next.n_bytes;
  }
  return end;
}

}  // namespace fettle
