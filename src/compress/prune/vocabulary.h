// Vocabulary pruning (techniques H9): rows of the word table that the data do not need.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/model.h"

namespace fettle {

// Neither of keep_words and target: what the texts need and no more.
struct VocabularyOptions {
  int64_t keep_words = 0;  // pieces to keep in all
  double target = 0;       // share of the pieces to remove, in (0, 1)
};

struct VocabularyReport {
  int64_t n_before = 0;  // rows of the word table
  int64_t n_after = 0;
  int64_t n_needed = 0;  // of them what the texts, single characters and special tokens need
};

// Keeps the pieces that these texts and single characters are cut into (Tokenizer::needed_pieces), and more of the
// others in the order of their ids as far as the options leave room; drops the other rows of the word table, of
// whatever encoding, factored or not, and of the masked-word head's bias. Ids are numbered anew, in the same order; the
// texts are cut into the same pieces, which is checked for every one.
// kUsage when the options leave less room than is needed; kBadInput for a model without a tokenizer.
VocabularyReport prune_vocabulary(Model& model, std::span<const std::string> texts, const VocabularyOptions& options);

// What a smaller vocabulary does to words of other texts.
struct WordChange {
  std::string word;
  int64_t count = 0;
  int64_t pieces_before = 0;
  int64_t pieces_after = 0;
  bool is_unknown = false;  // has a part that was known before and no longer is
};
struct VocabularyEffect {
  int64_t n_words = 0;    // between white space
  int64_t n_unknown = 0;  // words that become unknown, wholly or in part
  int64_t n_split = 0;    // others that have more pieces than before
  int64_t n_tokens_before = 0;
  int64_t n_tokens_after = 0;
  std::vector<WordChange> changed;  // each word once, the most frequent first
};
VocabularyEffect compare_vocabularies(const Tokenizer& before, const Tokenizer& after,
                                      std::span<const std::string> texts);

}  // namespace fettle
