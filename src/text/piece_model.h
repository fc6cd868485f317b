// What turns the text between added tokens into pieces: normalizer, pre-tokenizer and model of one tokenizer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "text/normalized_text.h"
#include "text/tokenizer_spec.h"
#include "text/vocabulary.h"

namespace fettle {

struct PlacedToken {
  int32_t id = 0;
  int32_t begin = 0, end = 0;                       // code points of the text
  int32_t leading_spaces = 0, trailing_spaces = 0;  // characters at its ends that trimming takes away
};

// Immutable, shareable between threads.
class PieceModel {
 public:
  virtual ~PieceModel() = default;

  virtual int size() const = 0;                          // highest id + 1
  virtual std::string_view piece(int32_t id) const = 0;  // "" for an unused id
  virtual std::optional<int32_t> find(std::string_view piece) const = 0;
  virtual int32_t unk_id() const = 0;  // -1: none

  // Fills in the pieces, merges and so on that the model took out of its spec.
  virtual void give_back(TokenizerSpec& spec) const;

  // Appends the ids of a stretch of text, which is any bytes, until there are `enough` in all: then the word that
  // reached the number is the last, and the answer is false. `at_start`: the stretch begins the whole text.
  virtual bool append(std::string_view text, bool at_start, size_t enough, std::vector<int32_t>& ids) const = 0;
  // The same step by step and with offsets: normalize() gives well-formed UTF-8 as the model wants it, its code points
  // numbered from `first` on; place() cuts a stretch of that.
  virtual NormalizedText normalize(std::string_view text, int32_t first) const = 0;
  virtual bool place(const NormalizedText& text, bool at_start, size_t enough, std::vector<PlacedToken>& out) const = 0;
};

// Takes pieces and merges out of the spec. kBadInput naming spec.where when they do not fit together.
std::unique_ptr<const PieceModel> make_piece_model(TokenizerSpec& spec);

// For models: kBadInput when the vocabulary has a piece twice and may not; the id of a piece that must be there.
void check_duplicates(const Vocabulary& vocabulary, const TokenizerSpec& spec);
int32_t require_piece(const Vocabulary& vocabulary, std::string_view piece, const std::string& where);

}  // namespace fettle
