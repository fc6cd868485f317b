// SentencePiece's model files (spiece.model, sentencepiece.bpe.model): the parts of the protobuf that cutting needs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fettle {

struct SentencePieceFile {
  // The types of sentencepiece_model.proto.
  enum class Type : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::kNormal;
  };
  std::vector<Piece> pieces;  // the index is the id
  int64_t model_type = 1;     // 1: Unigram, 2: BPE, 3: word, 4: character
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  std::string charsmap;  // empty: no character is mapped
  bool add_dummy_prefix = true;
  bool remove_extra_spaces = true;
  bool escape_spaces = true;
};

// kBadInput naming `where` for anything but a well-formed file; what a field of another kind says is passed over.
SentencePieceFile parse_sentencepiece(std::string_view bytes, const std::string& where);

}  // namespace fettle
