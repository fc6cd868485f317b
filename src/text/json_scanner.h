// Walks through JSON text token by token; for the long lists of tokenizer files, which are not built as values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fettle {

// Errors are kBadInput naming `where` and the byte. The text and `where` must outlive the scanner.
class JsonScanner {
 public:
  JsonScanner(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  void skip_space();
  // The next character, NUL at the end.
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c);
  bool at_end() const { return at_ == text_.size(); }
  [[noreturn]] void refuse(std::string_view why) const;

  // At the opening quote. At most kMaxPieceBytes of valid UTF-8.
  std::string parse_string();
  // An id from 0 to kMaxVocabulary - 1; errors name `piece`, whose id it is.
  int64_t parse_id(const std::string& piece);
  // A finite number. Rounded as serde_json does it, digits as an integer first and then divided by a power of ten: the
  // last bit decides which of two equally good cuttings Hugging Face's tokenizers take.
  double parse_number();

 private:
  void parse_escape(std::string& out);
  char32_t parse_hex();

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

}  // namespace fettle
