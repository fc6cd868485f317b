// Texts for masked-language modelling: tokenized once, packed into sequences and masked anew for each epoch.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/batching.h"
#include "tensor/ragged.h"
#include "text/tokenizer.h"

namespace fettle {

struct MaskingOptions {
  double probability = 0.15;
  int64_t max_length = 64;  // tokens of a sequence, special ones included
  int64_t token_budget = 3072;
  bool join_texts = true;
  double short_sequence_ratio = 0.15;
  uint64_t seed = 0;
};

struct MaskedBatch {
  RaggedBatch tokens;                     // as the model sees them
  std::vector<int32_t> masked_positions;  // [masked] rows of `tokens`, rising; at least one
  std::vector<int32_t> masked_labels;     // [masked] the ids that stood there
};

// Everything drawn at random is a function of (seed, epoch, place in the corpus).
class MaskedCorpus {
 public:
  // kBadInput when no text has a token or the tokenizer has no [MASK], [CLS] or [SEP].
  MaskedCorpus(std::span<const std::string> texts, const Tokenizer& tokenizer, const MaskingOptions& options);

  int64_t n_tokens() const { return static_cast<int64_t>(ids_.size()); }
  int64_t n_batches(int64_t epoch);
  // Of the 15 % chosen, 80 % become [MASK], 10 % a random piece, 10 % stay (Devlin et al. 2019, section 3.1).
  void load(int64_t epoch, int64_t index, MaskedBatch& batch);

 private:
  struct Sequence {
    int64_t first_text;
    int64_t last_text;  // one past
    int32_t length;     // special tokens included
  };
  void pack(int64_t epoch);
  void append(const Sequence& sequence, int64_t epoch, MaskedBatch& batch) const;
  void append_token(int64_t place, int64_t epoch, MaskedBatch& batch) const;
  int64_t text_length(int64_t i) const { return offsets_[i + 1] - offsets_[i]; }

  MaskingOptions options_;
  std::vector<int32_t> ids_;           // of all texts, no special tokens
  std::vector<int64_t> offsets_{0};    // [texts + 1]
  std::vector<bool> ends_document_;    // [texts] nothing is joined after this text
  std::vector<int32_t> replacements_;  // ids that are no special tokens
  int32_t cls_ = 0;
  int32_t sep_ = 0;
  int32_t mask_ = 0;
  int64_t packed_epoch_ = -1;
  std::vector<Sequence> sequences_;
  BatchPlan plan_;
};

}  // namespace fettle
