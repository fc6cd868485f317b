// BertNormalizer and BertPreTokenizer fused into one pass that allocates nothing: text in, normalized words out.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"
#include "text/unicode.h"

namespace fettle {

// A word after normalization; `text` is valid during the callback only, and cut short when `too_long`.
struct NormalizedWord {
  std::string_view text;
  bool too_long = false;  // more code points than max_input_chars_per_word
};

inline constexpr int64_t kMaxInputCharsPerWord = 1'000'000;

class WordSplitter {
 public:
  // kUsage when max_input_chars_per_word is negative or above kMaxInputCharsPerWord.
  explicit WordSplitter(const WordPieceOptions& options);

  // Calls on_word(const NormalizedWord&) -> bool for each word until it returns false. Linear in the text.
  template <typename OnWord>
  void split(std::string_view text, OnWord&& on_word) const;

 private:
  enum class Action : uint8_t { kAppend, kSpace, kPunctuation, kDrop, kWide };
  struct AsciiEntry {
    Action action = Action::kWide;
    char byte = 0;  // after lower-casing
  };
  template <typename OnWord>
  class Pass;

  std::array<AsciiEntry, 256> ascii_{};
  const unicode::CharTable& table_;
  int64_t max_chars_;
  bool clean_;
  bool split_chinese_;
  bool strip_;
  bool lower_;
};

// State of one pass over a text.
template <typename OnWord>
class WordSplitter::Pass {
 public:
  Pass(const WordSplitter& splitter, OnWord& on_word) : splitter_(splitter), on_word_(on_word) {
    const size_t capacity = static_cast<size_t>(splitter.max_chars_) * 4;
    if (capacity <= inline_.size()) return;
    heap_.resize(capacity);
    word_ = heap_.data();
  }

  void run(std::string_view text) {
    const char* p = text.data();
    const char* end = p + text.size();
    while (p != end && !stopped_) {
      const AsciiEntry entry = splitter_.ascii_[static_cast<unsigned char>(*p)];
      if (entry.action == Action::kWide) {
        const unicode::DecodedChar next = unicode::decode_utf8(p, end);
        p += next.n_bytes;
        take_wide(next.code);
        continue;
      }
      ++p;
      if (entry.action == Action::kDrop) continue;
      if (!pending_.empty()) flush_pending();
      take_ascii(entry);
    }
    if (!pending_.empty()) flush_pending();
    end_word();
  }

 private:
  void take_ascii(AsciiEntry entry) {
    if (entry.action != Action::kAppend) end_word();
    if (entry.action == Action::kSpace) return;
    if (n_chars_++ < splitter_.max_chars_) word_[size_++] = entry.byte;
    if (entry.action == Action::kPunctuation) end_word();
  }

  void take_wide(char32_t code) {
    const uint8_t flags = splitter_.table_.flags(code);
    if (splitter_.clean_ && (flags & unicode::kRemoved)) return;
    const bool alone = splitter_.split_chinese_ && (flags & unicode::kChinese);
    if (alone) break_word();
    if (splitter_.strip_ && (flags & (unicode::kDecomposes | unicode::kMark | unicode::kCombining))) {
      const unicode::CharSequence parts = unicode::decompose(code);
      for (int i = 0; i < parts.size; ++i) take_decomposed(parts.codes[i]);
    } else {
      if (!pending_.empty()) flush_pending();
      put(code, flags);
    }
    if (alone) break_word();
  }

  // Marks go; what combines and stays is held back until the next starter, for canonical order.
  void take_decomposed(char32_t code) {
    const uint8_t flags = splitter_.table_.flags(code);
    const bool kept = !(flags & unicode::kMark);
    if (flags & unicode::kCombining) {
      // More than max_chars_ make the word too long whatever they are.
      if (kept && std::ssize(pending_) <= splitter_.max_chars_) {
        pending_.emplace_back(unicode::combining_rank(code), code);
      }
      return;
    }
    if (!pending_.empty()) flush_pending();
    if (kept) put(code, flags);
  }

  void flush_pending() {
    std::stable_sort(pending_.begin(), pending_.end(), [](auto& a, auto& b) { return a.first < b.first; });
    const auto pending = std::exchange(pending_, {});
    for (const auto& [rank, code] : pending) put(code, splitter_.table_.flags(code));
  }

  void put(char32_t code, uint8_t flags) {
    if (!(splitter_.lower_ && (flags & unicode::kHasLower))) return place(code, flags);
    const unicode::CharSequence lower = unicode::to_lower(code);
    for (int i = 0; i < lower.size; ++i) place(lower.codes[i], splitter_.table_.flags(lower.codes[i]));
  }

  void place(char32_t code, uint8_t flags) {
    const bool alone = flags & unicode::kPunctuation;
    if (alone || (flags & unicode::kSpace)) end_word();
    if (flags & unicode::kSpace) return;
    if (n_chars_++ < splitter_.max_chars_) size_ += static_cast<size_t>(unicode::encode_utf8(code, word_ + size_));
    if (alone) end_word();
  }

  void break_word() {
    if (!pending_.empty()) flush_pending();
    end_word();
  }

  void end_word() {
    if (n_chars_ > 0 && !stopped_)
      stopped_ = !on_word_(NormalizedWord{{word_, size_}, n_chars_ > splitter_.max_chars_});
    size_ = 0;
    n_chars_ = 0;
  }

  const WordSplitter& splitter_;
  OnWord& on_word_;
  std::array<char, 512> inline_;
  std::vector<char> heap_;
  char* word_ = inline_.data();
  size_t size_ = 0;
  int64_t n_chars_ = 0;
  bool stopped_ = false;
  std::vector<std::pair<int, char32_t>> pending_;
};

template <typename OnWord>
void WordSplitter::split(std::string_view text, OnWord&& on_word) const {
  Pass<std::remove_reference_t<OnWord>>(*this, on_word).run(text);
}

}  // namespace fettle
