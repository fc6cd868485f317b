// WordPiece behind BERT's normalizer and pre-tokenizer.
#pragma once

#include "text/piece_model.h"
#include "text/vocabulary.h"
#include "text/word_splitter.h"

namespace fettle {

class WordPieceModel : public PieceModel {
 public:
  explicit WordPieceModel(const TokenizerSpec& spec);

  int size() const override { return vocabulary_.size(); }
  std::string_view piece(int32_t id) const override { return vocabulary_.piece(id); }
  std::optional<int32_t> find(std::string_view piece) const override { return vocabulary_.find(piece); }
  int32_t unk_id() const override { return unk_id_; }
  bool append(std::string_view text, bool at_start, size_t enough, std::vector<int32_t>& ids) const override;
  NormalizedText normalize(std::string_view text, int32_t first) const override;
  bool place(const NormalizedText& text, bool at_start, size_t enough, std::vector<PlacedToken>& out) const override;

 private:
  void place_word(const NormalizedText& text, size_t begin, size_t end, std::vector<PlacedToken>& out) const;

  WordPieceOptions options_;
  Vocabulary vocabulary_;
  WordSplitter splitter_;
  int32_t unk_id_ = 0;
};

}  // namespace fettle
