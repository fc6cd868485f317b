// Unigram language models (Kudo 2018) as in T5, ALBERT and XLM-R: the most probable cutting of a text into pieces.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "text/normalizer.h"
#include "text/piece_model.h"
#include "text/piece_trie.h"

namespace fettle {

class UnigramModel : public PieceModel {
 public:
  // kBadInput without an unknown piece.
  explicit UnigramModel(const TokenizerSpec& spec);

  int size() const override { return vocabulary_.size(); }
  std::string_view piece(int32_t id) const override { return vocabulary_.piece(id); }
  std::optional<int32_t> find(std::string_view piece) const override { return vocabulary_.find(piece); }
  int32_t unk_id() const override { return options_.unk_id; }
  bool append(std::string_view text, bool at_start, size_t enough, std::vector<int32_t>& ids) const override;
  NormalizedText normalize(std::string_view text, int32_t first) const override;
  bool place(const NormalizedText& text, bool at_start, size_t enough, std::vector<PlacedToken>& out) const override;

 private:
  struct Cut {
    int32_t id = 0;
    uint32_t size = 0;  // bytes
  };
  class Work;

  // The pieces of a segment, last first. `score` is that of the text before it and becomes that of its end.
  std::span<const Cut> cut(std::string_view segment, double& score, Work& work) const;
  template <typename Score>
  void find_best_paths(std::string_view segment, double score, Work& work) const;
  // Calls on_cuts(segment, cuts) for each segment until it returns false.
  template <typename OnCuts>
  bool for_each_segment(std::string_view text, OnCuts&& on_cuts) const;
  // The ids that a cut stands for: several for bytes.
  template <typename OnId>
  void for_each_id(const Cut& cut, std::string_view bytes, OnId&& on_id) const;
  // Metaspace and the splitting at white space before it.
  std::string pre_tokenize(std::string_view text, bool at_start) const;
  NormalizedText pre_tokenize(const NormalizedText& text, bool at_start) const;
  bool adds_space(bool at_start) const {
    return options_.prepend == MetaspacePrepend::kAlways || (options_.prepend == MetaspacePrepend::kFirst && at_start);
  }

  UnigramOptions options_;
  Normalizer normalizer_;
  Vocabulary vocabulary_;
  std::vector<double> scores_;  // by id
  PieceTrie trie_;
  double unk_score_ = 0;
  bool ends_at_spaces_ = false;  // no piece reaches over the beginning of a word
  std::array<int32_t, 256> byte_ids_{};
};

}  // namespace fettle
