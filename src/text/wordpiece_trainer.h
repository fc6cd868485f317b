// Makes a WordPiece vocabulary from text: byte-pair merges over words, as Hugging Face's WordPieceTrainer does.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "text/tokenizer.h"

namespace fettle {

struct WordPieceTrainingOptions {
  int vocab_size = 30522;     // special tokens included; fewer pieces come out when merges run out
  int64_t min_frequency = 2;  // a pair seen less often is not merged
  int limit_alphabet = 1000;  // the most frequent characters kept
  std::vector<std::string> special_tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};  // get the first ids
  WordPieceOptions tokenizer;  // normalizer and pre-tokenizer; words over its max_input_chars_per_word are not counted
};

// Deterministic: the result depends on the counted words only, not on their order. Ties go to the pair whose pieces
// have the lower ids.
class WordPieceTrainer {
 public:
  // kUsage when vocab_size cannot hold the special tokens or a limit is negative.
  explicit WordPieceTrainer(WordPieceTrainingOptions options);
  ~WordPieceTrainer();

  void add(std::string_view text);
  int64_t n_words() const;  // words counted, with repetition
  int64_t n_distinct_words() const;
  // The pieces in id order. kBadInput when no word was added or vocab_size is below the alphabet.
  std::vector<std::string> train() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// add() for every text until `next` returns false, then train().
std::vector<std::string> train_wordpiece(FunctionRef<bool(std::string& text)> next,
                                         const WordPieceTrainingOptions& options);

}  // namespace fettle
