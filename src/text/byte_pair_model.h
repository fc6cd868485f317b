// Byte-level byte-pair encoding as in GPT-2 (Radford et al. 2019) and RoBERTa.
#pragma once

#include <array>
#include <atomic>
#include <span>
#include <vector>

#include "text/merge_table.h"
#include "text/piece_model.h"
#include "text/vocabulary.h"

namespace fettle {

class BytePairModel : public PieceModel {
 public:
  // kBadInput when a merge has a piece, or gives one, that the vocabulary has not.
  explicit BytePairModel(const TokenizerSpec& spec);

  int size() const override { return vocabulary_.size(); }
  std::string_view piece(int32_t id) const override { return vocabulary_.piece(id); }
  std::optional<int32_t> find(std::string_view piece) const override { return vocabulary_.find(piece); }
  int32_t unk_id() const override { return unk_id_; }
  void give_back(TokenizerSpec& spec) const override;
  bool append(std::string_view text, bool at_start, size_t enough, std::vector<int32_t>& ids) const override;
  NormalizedText normalize(std::string_view text, int32_t first) const override;
  bool place(const NormalizedText& text, bool at_start, size_t enough, std::vector<PlacedToken>& out) const override;

 private:
  // Whether merging the bytes of a piece gives that piece alone, found out when it is first met.
  enum Wholeness : uint8_t { kUnknown, kWhole, kNotWhole };

  class Work;
  // Cuts a word of raw bytes; the symbols stand in `work`.
  std::span<const Symbol> cut(std::string_view word, Work& work) const;
  std::span<const Symbol> merge(std::string_view word, Work& work) const;
  std::optional<int32_t> find_word(std::string_view word, Work& work) const;
  void place_word(const NormalizedText& text, std::string_view utf8, size_t first_char, Work& work,
                  std::vector<PlacedToken>& out) const;

  BytePairOptions options_;
  Vocabulary vocabulary_;
  MergeTable merges_;
  std::array<int32_t, 256> byte_ids_;
  int32_t unk_id_ = -1;
  // Written by any thread; all write the same.
  mutable std::vector<std::atomic<uint8_t>> wholeness_;
};

}  // namespace fettle
