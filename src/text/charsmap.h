// SentencePiece's compiled character map: a double-array trie of character sequences and what each becomes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fettle {

// The field `precompiled_charsmap` of a SentencePiece model (Kudo & Richardson 2018) and of the `Precompiled`
// normalizer: u32 size of the trie in bytes, the trie (Darts-clone units), then the replacements, each ended by NUL.
// Immutable.
class Charsmap {
 public:
  // kBadInput naming `where` when the sizes do not fit or the replacements are no UTF-8.
  Charsmap(std::string_view bytes, const std::string& where);

  struct Match {
    size_t n_bytes = 0;            // of the text
    std::string_view replacement;  // may be empty
  };
  // The longest sequence that the text begins with, or the shortest.
  std::optional<Match> longest(std::string_view text) const { return search(text, true); }
  std::optional<Match> shortest(std::string_view text) const { return search(text, false); }
  // True when an ASCII character stands for itself wherever no character above ASCII follows.
  bool keeps_ascii(char c) const { return static_cast<unsigned char>(c) < 128 && keeps_[static_cast<size_t>(c)]; }

 private:
  std::optional<Match> search(std::string_view text, bool wants_longest) const;
  std::string_view replacement_at(size_t offset) const;
  bool begins_ascii_sequence(unsigned char c) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
  std::array<bool, 128> keeps_{};
};

}  // namespace fettle
