// Unicode as BERT's tokenizers need it: UTF-8, character classes, lower case, canonical decomposition.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fettle::unicode {

inline constexpr char32_t kReplacement = 0xfffd;

struct DecodedChar {
  char32_t code = 0;
  int n_bytes = 0;  // bytes read, at least 1
  bool valid = true;
};

// The code point at `p`, which is before `end`. An ill-formed sequence gives U+FFFD for each maximal subpart (Unicode
// standard 3.9, table 3-8), as Python's errors="replace" does.
DecodedChar decode_utf8(const char* p, const char* end);

// Writes the UTF-8 of `code` (at most 4 bytes) and returns their number.
inline int encode_utf8(char32_t code, char* out) {
  if (code < 0x80) {
    out[0] = static_cast<char>(code);
    return 1;
  }
  if (code < 0x800) {
    out[0] = static_cast<char>(0xc0 | code >> 6);
    out[1] = static_cast<char>(0x80 | (code & 0x3f));
    return 2;
  }
  if (code < 0x10000) {
    out[0] = static_cast<char>(0xe0 | code >> 12);
    out[1] = static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out[2] = static_cast<char>(0x80 | (code & 0x3f));
    return 3;
  }
  out[0] = static_cast<char>(0xf0 | code >> 18);
  out[1] = static_cast<char>(0x80 | (code >> 12 & 0x3f));
  out[2] = static_cast<char>(0x80 | (code >> 6 & 0x3f));
  out[3] = static_cast<char>(0x80 | (code & 0x3f));
  return 4;
}

void append_utf8(char32_t code, std::string& out);
// Code points of well-formed UTF-8.
inline int32_t count_chars(std::string_view text) {
  int32_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return n;
}
bool is_valid_utf8(std::string_view text);
// The text with every ill-formed part replaced by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

// Classes of a code point, as bits.
enum CharFlag : uint8_t {
  kRemoved = 1,      // dropped by clean_text
  kSpace = 2,        // White_Space, tested after kRemoved
  kPunctuation = 4,  // a word of its own
  kMark = 8,         // dropped by strip_accents
  kChinese = 16,     // CJK ideograph in BERT's sense
  kCombining = 32,   // canonical combining class other than 0
  kDecomposes = 64,  // has a canonical decomposition
  kHasLower = 128,   // to_lower changes it
};

// A byte of bits for every code point, in two stages.
class PagedTable {
 public:
  uint8_t flags(char32_t code) const { return pages_[page_of_[code >> 8]][code & 0xff]; }

 protected:
  PagedTable() : pages_(1) {}
  void mark(char32_t first, char32_t last, uint8_t flag);
  // Makes equal pages one.
  void compact();

 private:
  using Page = std::array<uint8_t, 256>;
  std::array<uint16_t, 0x1100> page_of_{};
  std::vector<Page> pages_;
};

// CharFlag bits.
class CharTable : public PagedTable {
 public:
  static const CharTable& get();

 private:
  CharTable();
};

// What GPT-2's pattern tells apart: `\p{L}`, `\p{N}`, `\s` and the rest.
enum WordClass : uint8_t { kOtherClass = 0, kLetterClass = 1, kNumberClass = 2, kSpaceClass = 3 };

class WordClassTable : public PagedTable {
 public:
  static const WordClassTable& get();
  WordClass of(char32_t code) const { return static_cast<WordClass>(flags(code)); }

 private:
  WordClassTable();
};

// Up to four code points.
struct CharSequence {
  std::array<char32_t, 4> codes;
  int size;
};

// Full canonical decomposition; the code point itself when it has none.
CharSequence decompose(char32_t code);
// Lower case without context (U+0130 gives two code points), as Rust's char::to_lowercase.
CharSequence to_lower(char32_t code);
// Marks of all kinds, as StripAccents drops them.
bool is_mark(char32_t code);
// Appends the full compatibility decomposition, as Hugging Face's NFKD has it.
void append_compatible(char32_t code, std::vector<char32_t>& out);
// The character that two others make by canonical composition, 0 for none.
char32_t compose(char32_t first, char32_t second);
// Orders combining marks as their canonical combining classes do; 0 for all other code points.
int combining_rank(char32_t code);

}  // namespace fettle::unicode
