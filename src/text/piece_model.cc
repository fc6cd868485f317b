#include "text/piece_model.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"
#include "text/byte_pair_model.h"
#include "text/unigram_model.h"
#include "text/wordpiece_model.h"

namespace fettle {

void PieceModel::give_back(TokenizerSpec& spec) const {
  spec.pieces.clear();
  for (int32_t id = 0; id < size(); ++id) spec.pieces.emplace_back(piece(id));
}

std::unique_ptr<const PieceModel> make_piece_model(TokenizerSpec& spec) {
  std::unique_ptr<const PieceModel> model;
  switch (spec.kind) {
    case PieceModelKind::kWordPiece:
      model = std::make_unique<const WordPieceModel>(spec);
      break;
    case PieceModelKind::kBytePair:
      model = std::make_unique<const BytePairModel>(spec);
      break;
    case PieceModelKind::kUnigram:
      model = std::make_unique<const UnigramModel>(spec);
      break;
  }
  spec.pieces = {};
  spec.merges = {};
  spec.unigram.scores = {};
  return model;
}

void check_duplicates(const Vocabulary& vocabulary, const TokenizerSpec& spec) {
  if (spec.duplicates_allowed || vocabulary.duplicate().empty()) return;
  bad_input(spec.where, fmt::format("the vocabulary has \"{}\" twice", printable(vocabulary.duplicate())));
}

int32_t require_piece(const Vocabulary& vocabulary, std::string_view piece, const std::string& where) {
  const std::optional<int32_t> id = vocabulary.find(piece);
  if (!id) bad_input(where, fmt::format("the vocabulary has no \"{}\"", printable(piece)));
  return *id;
}

}  // namespace fettle
