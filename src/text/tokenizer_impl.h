// The parts of a tokenizer that is ready for use.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/added_tokens.h"
#include "text/piece_model.h"
#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"

namespace fettle {

struct Tokenizer::Impl {
  explicit Impl(TokenizerSpec loaded);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  // Ids that a text may have, special ones left out. kUsage when the template alone is longer than max_length.
  int64_t room(const EncodeOptions& options, int n_special) const;
  // Appends the ids of the text alone. The word that brings their number to `enough` is the last, unless truncation is
  // from the left: then all are needed.
  void append_text(std::string_view text, bool split_special, int64_t enough, std::vector<int32_t>& ids) const;
  // The same with offsets.
  std::vector<PlacedToken> place_text(std::string_view text, bool split_special, int64_t enough) const;

  std::string_view piece(int32_t id) const;
  std::optional<int32_t> find(std::string_view piece) const;
  // The items around one or two texts under the given options.
  const std::vector<TemplateItem>& single(const EncodeOptions& options) const;
  const std::vector<TemplateItem>& pair(const EncodeOptions& options) const;

  // Takes white space off the ends of tokens where the post-processor does; tokens [0, …) of a text, truncated.
  void trim(std::vector<PlacedToken>& tokens) const;

  TokenizerSpec spec;  // its pieces and merges have moved to `model`
  std::unique_ptr<const PieceModel> model;
  std::vector<uint32_t> added_by_content;  // indices into spec.added
  std::vector<uint32_t> added_by_id;
  std::vector<bool> special;  // by id
  AddedTokenMatcher raw_matcher, normalized_matcher;
  bool all_added_are_special = true;
  std::vector<TemplateItem> bare_single, bare_pair;  // without special tokens
  int n_special_single = 0, n_special_pair = 0;
  std::optional<int32_t> pad_id, cls_id, sep_id, mask_id;

 private:
  void index_added_tokens();
  void check_ids() const;
  AddedTokenMatcher make_matcher(bool normalized) const;
  bool needs_matching(const AddedTokenMatcher& matcher, bool split_special) const {
    return !matcher.empty() && !(split_special && all_added_are_special);
  }
  void append_matched(std::string_view text, bool split_special, size_t enough, std::vector<int32_t>& ids) const;
  // False once there are `enough` tokens in all.
  bool place_normalized(std::string_view text, int32_t first, bool split_special, size_t enough,
                        std::vector<PlacedToken>& out) const;
};

}  // namespace fettle
