// A data set as token ids: every text once, in one buffer.
#pragma once

#include <cstdint>
#include <vector>

#include "data/dataset.h"
#include "tensor/ragged.h"
#include "text/tokenizer.h"

namespace fettle {

struct TokenizedTexts {
  std::vector<int32_t> ids;         // special tokens included
  std::vector<int32_t> type_ids;    // as long as ids; empty when all are 0
  std::vector<int64_t> offsets{0};  // [n + 1]

  int64_t size() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t length(int64_t i) const { return offsets[i + 1] - offsets[i]; }
  std::vector<int32_t> lengths() const;
  void append_to(RaggedBatch& batch, int64_t i) const;
};

// Texts and pairs, each truncated to max_length tokens; in the order of the data.
TokenizedTexts tokenize(const Dataset& data, const Tokenizer& tokenizer, int64_t max_length);

// The row of each sequence's first token: what the graph input `first_tokens` wants.
std::vector<int32_t> first_tokens(const RaggedBatch& batch);

}  // namespace fettle
