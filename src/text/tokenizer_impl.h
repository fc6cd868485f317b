// The parts of a tokenizer that is ready for use.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/added_tokens.h"
#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"
#include "text/vocabulary.h"
#include "text/word_splitter.h"

namespace fettle {

struct PlacedToken {
  int32_t id = 0;
  int32_t begin = 0, end = 0;  // code points of the text
};

struct Tokenizer::Impl {
  explicit Impl(TokenizerSpec loaded);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Ids that a text may have, special ones left out. kUsage when the template alone is longer than max_length.
  int64_t room(const EncodeOptions& options, int n_special) const;
  // Appends the ids of the text alone, truncated to `limit`.
  void append_text(std::string_view text, bool split_special, int64_t limit, std::vector<int32_t>& ids) const;
  // The same, untruncated, with offsets.
  std::vector<PlacedToken> place_text(std::string_view text, bool split_special) const;

  std::string_view piece(int32_t id) const;
  std::optional<int32_t> find(std::string_view piece) const;
  // The items around one or two texts under the given options.
  const std::vector<TemplateItem>& single(const EncodeOptions& options) const;
  const std::vector<TemplateItem>& pair(const EncodeOptions& options) const;

  TokenizerSpec spec;  // its pieces have moved to `vocabulary`
  Vocabulary vocabulary;
  WordSplitter splitter;
  std::vector<uint32_t> added_by_content;  // indices into spec.added
  std::vector<uint32_t> added_by_id;
  std::vector<bool> special;  // by id
  AddedTokenMatcher raw_matcher, normalized_matcher;
  bool all_added_are_special = true;
  std::vector<TemplateItem> bare_single, bare_pair;  // without special tokens
  int n_special_single = 0, n_special_pair = 0;
  int32_t unk_id = 0;
  std::optional<int32_t> pad_id, cls_id, sep_id, mask_id;

 private:
  void index_added_tokens();
  void check_ids() const;
  AddedTokenMatcher make_matcher(bool normalized) const;
  bool needs_matching(const AddedTokenMatcher& matcher, bool split_special) const {
    return !matcher.empty() && !(split_special && all_added_are_special);
  }
  void append_words(std::string_view text, size_t stop_size, std::vector<int32_t>& ids) const;
  void append_matched(std::string_view text, bool split_special, size_t stop_size, std::vector<int32_t>& ids) const;
  void place_normalized(std::string_view text, int32_t first, bool split_special, std::vector<PlacedToken>& out) const;
};

// "Longest first" of Hugging Face: how many tokens of each text stay so that both make at most `room`.
std::pair<int64_t, int64_t> truncate_longest_first(int64_t n_first, int64_t n_second, int64_t room);

}  // namespace fettle
