// The normalizers of Hugging Face's tokenizers in their order, and SentencePiece's own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/charsmap.h"
#include "text/normalized_text.h"
#include "text/piece_trie.h"

namespace fettle {

// What a SentencePiece model does before it cuts (`NormalizerSpec`). White space ends up as kSpaceSymbol.
struct SentencePieceRules {
  bool add_dummy_prefix = true;
  bool remove_extra_spaces = true;
};

inline constexpr char32_t kSpaceSymbol = 0x2581;  // ▁
inline constexpr std::string_view kSpaceText = "\xe2\x96\x81";

struct NormalizerStep {
  enum class Kind : uint8_t {
    kPrecompiled,    // `charsmap`, one grapheme cluster at a time, as the Rust library does it
    kSentencePiece,  // `charsmap` by longest match, and `rules`
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kStripAccents,
    kReplace,        // each `pattern` by `content`
    kReplaceSpaces,  // each run of two and more spaces by `content`
    kStrip           // white space at the ends
  };
  Kind kind = Kind::kPrecompiled;
  std::shared_ptr<const Charsmap> charsmap;   // null: no character is mapped
  std::shared_ptr<const PieceTrie> verbatim;  // kSentencePiece: pieces that nothing is done to; may be null
  SentencePieceRules rules;
  std::string pattern, content;
  bool left = true, right = true;
};

// Immutable.
class Normalizer {
 public:
  explicit Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}

  bool empty() const { return steps_.empty(); }
  const std::vector<NormalizerStep>& steps() const { return steps_; }
  // Well-formed UTF-8 in and out.
  void apply(std::string& text) const;
  // The same, step by step; characters take their sources along as in the Rust library.
  NormalizedText apply(NormalizedText text) const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace fettle
