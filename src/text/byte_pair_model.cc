#include "text/byte_pair_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/printable.h"
#include "text/byte_level.h"
#include "text/unicode.h"

namespace fettle {
namespace {

// Longer words are merged without a look at the vocabulary.
constexpr size_t kLongestLookup = 64;

int32_t require(const Vocabulary& vocabulary, std::string_view piece, const std::string& where) {
  const auto id = vocabulary.find(piece);
  if (!id) bad_input(where, fmt::format("a merge needs the piece \"{}\", which is not there", printable(piece)));
  return *id;
}

}  // namespace

BytePairModel::BytePairModel(const TokenizerSpec& spec)
    : options_(spec.byte_pair),
      vocabulary_(spec.pieces, std::nullopt),
      merges_(spec.merges.size()),
      wholeness_(spec.pieces.size()) {
  check_duplicates(vocabulary_, spec);
  if (options_.has_unk) unk_id_ = require_piece(vocabulary_, spec.options.unk_token, spec.where);
  for (const MergeRule& merge : spec.merges) {
    const int32_t left = require(vocabulary_, merge.left, spec.where);
    const int32_t right = require(vocabulary_, merge.right, spec.where);
    merges_.add(left, right, require(vocabulary_, merge.left + merge.right, spec.where));
  }
  const ByteAlphabet& alphabet = ByteAlphabet::get();
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = vocabulary_.find(alphabet.text_of(static_cast<uint8_t>(byte))).value_or(unk_id_);
  }
}

void BytePairModel::give_back(TokenizerSpec& spec) const {
  PieceModel::give_back(spec);
  spec.merges.clear();
  for (const MergeTable::Pair& pair : merges_.pairs()) {
    spec.merges.push_back({std::string(piece(pair.left)), std::string(piece(pair.right))});
  }
}

// Buffers that one call uses for all its words; words of usual length need no other memory.
class BytePairModel::Work {
 public:
  std::span<Symbol> symbols(size_t n) {
    if (n <= inline_symbols_.size()) return {inline_symbols_.data(), n};
    if (symbols_.size() < n) symbols_.resize(n);
    return {symbols_.data(), n};
  }
  // Room for `n` bytes, each as one character of the byte alphabet.
  char* text(size_t n) {
    if (2 * n <= inline_text_.size()) return inline_text_.data();
    if (text_.size() < 2 * n) text_.resize(2 * n);
    return text_.data();
  }

 private:
  static constexpr size_t kUsual = 64;
  std::array<Symbol, kUsual> inline_symbols_;
  std::array<char, 2 * kUsual> inline_text_;
  std::vector<Symbol> symbols_;
  std::vector<char> text_;
};

std::span<const Symbol> BytePairModel::merge(std::string_view word, Work& work) const {
  const std::span<Symbol> symbols = work.symbols(word.size());
  size_t n = 0;
  int32_t n_skipped = 0;  // bytes that give no token count as part of the next that does
  for (const char c : word) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id < 0) {
      ++n_skipped;
    } else if (options_.fuse_unk && id == unk_id_ && n > 0 && symbols[n - 1].id == id) {
      symbols[n - 1].size += 1 + n_skipped;
      n_skipped = 0;
    } else {
      symbols[n++] = {id, 1 + n_skipped};
      n_skipped = 0;
    }
  }
  if (n > 0) symbols[n - 1].size += n_skipped;
  return symbols.first(merges_.apply(symbols.data(), n));
}

std::optional<int32_t> BytePairModel::find_word(std::string_view word, Work& work) const {
  const ByteAlphabet& alphabet = ByteAlphabet::get();
  char* const begin = work.text(word.size());
  char* out = begin;
  for (const char c : word) {
    const std::string_view text = alphabet.text_of(static_cast<uint8_t>(c));
    *out++ = text[0];
    if (text.size() > 1) *out++ = text[1];
  }
  return vocabulary_.find({begin, static_cast<size_t>(out - begin)});
}

std::span<const Symbol> BytePairModel::cut(std::string_view word, Work& work) const {
  if (word.size() > kLongestLookup && !options_.ignore_merges) return merge(word, work);
  const std::optional<int32_t> id = find_word(word, work);
  if (!id) return merge(word, work);
  std::atomic<uint8_t>& wholeness = wholeness_[static_cast<size_t>(*id)];
  const uint8_t known = options_.ignore_merges ? uint8_t{kWhole} : wholeness.load(std::memory_order_relaxed);
  if (known == kWhole) {
    const std::span<Symbol> symbols = work.symbols(1);
    symbols[0] = {*id, static_cast<int32_t>(word.size())};
    return symbols;
  }
  const std::span<const Symbol> symbols = merge(word, work);
  if (known == kUnknown) {
    wholeness.store(symbols.size() == 1 && symbols[0].id == *id ? kWhole : kNotWhole, std::memory_order_relaxed);
  }
  return symbols;
}

bool BytePairModel::append(std::string_view text, bool, size_t enough, std::vector<int32_t>& ids) const {
  if (text.empty()) return ids.size() < enough;
  Work work;
  std::string own;
  const bool is_valid = unicode::is_valid_utf8(text);
  const bool adds_space = options_.add_prefix_space && text[0] != ' ';
  if (!is_valid || adds_space) {
    if (adds_space) own += ' ';
    own += is_valid ? std::string(text) : unicode::replace_invalid_utf8(text);
    text = own;
  }
  for (size_t at = 0; at < text.size();) {
    const size_t end = end_of_word(text, at);
    for (const Symbol& symbol : cut(text.substr(at, end - at), work)) ids.push_back(symbol.id);
    if (ids.size() >= enough) return false;
    at = end;
  }
  return true;
}

NormalizedText BytePairModel::normalize(std::string_view text, int32_t first) const {
  return number_chars(text, first);
}

void BytePairModel::place_word(const NormalizedText& text, std::string_view word, size_t first_char, Work& work,
                               std::vector<PlacedToken>& out) const {
  // Where each byte comes from.
  std::vector<size_t> sources;
  for (const char c : word) {
    const bool is_first_byte = (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    sources.push_back(is_first_byte ? first_char + (sources.empty() ? 0 : sources.back() - first_char + 1)
                                    : sources.back());
  }
  size_t begin = 0;
  for (const Symbol& symbol : cut(word, work)) {
    const size_t end = begin + static_cast<size_t>(symbol.size);
    const std::string_view bytes = word.substr(begin, end - begin);
    const size_t n_leading = std::min(bytes.find_first_not_of(' '), bytes.size());
    const size_t n_trailing = bytes.size() - (bytes.find_last_not_of(' ') + 1);
    out.push_back({symbol.id, text[sources[begin]].begin, text[sources[end - 1]].end, static_cast<int32_t>(n_leading),
                   static_cast<int32_t>(n_trailing)});
    begin = end;
  }
}

bool BytePairModel::place(const NormalizedText& given, bool, size_t enough, std::vector<PlacedToken>& out) const {
  NormalizedText text = given;
  if (text.empty()) return out.size() < enough;
  // The added space stands for the first character, as in the reference.
  if (options_.add_prefix_space && text[0].code != ' ') text.insert(text.begin(), {' ', text[0].begin, text[0].end});
  const std::string utf8 = to_utf8(text, 0, text.size());
  Work work;
  size_t first_char = 0;
  for (size_t at = 0; at < utf8.size();) {
    const size_t end = end_of_word(utf8, at);
    const std::string_view word = std::string_view(utf8).substr(at, end - at);
    place_word(text, word, first_char, work, out);
    if (out.size() >= enough) return false;
    first_char += static_cast<size_t>(unicode::count_chars(word));
    at = end;
  }
  return true;
}

}  // namespace fettle
