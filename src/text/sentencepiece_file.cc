#include "text/sentencepiece_file.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <optional>

#include "base/error.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace fettle {
namespace {

// One field of a protobuf message: a number, or the bytes of a text or message.
struct Field {
  uint64_t number = 0;
  uint64_t value = 0;      // wire types 0, 1 and 5
  std::string_view bytes;  // wire type 2
  int wire_type = 0;
};

// Walks through the fields of a message (protobuf's wire format, "Encoding" of its documentation).
class Message {
 public:
  Message(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  std::optional<Field> next() {
    if (bytes_.empty()) return std::nullopt;
    const uint64_t tag = varint();
    Field field{.number = tag >> 3, .wire_type = static_cast<int>(tag & 7)};
    switch (field.wire_type) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.value = fixed<uint64_t>();
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.value = fixed<uint32_t>();
        break;
      default:
        refuse(fmt::format("wire type {}", field.wire_type));
    }
    if (field.number == 0) refuse("field number 0");
    return field;
  }

 private:
  [[noreturn]] void refuse(std::string_view why) const {
    bad_input(where_, fmt::format("is no SentencePiece model: {}", why));
  }

  std::string_view take(uint64_t n) {
    if (n > bytes_.size()) refuse("it ends within a field");
    const std::string_view taken = bytes_.substr(0, static_cast<size_t>(n));
    bytes_.remove_prefix(static_cast<size_t>(n));
    return taken;
  }

  template <typename T>
  T fixed() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    refuse("a number longer than 64 bits");
  }

  std::string_view bytes_;
  const std::string& where_;
};

SentencePieceFile::Piece parse_piece(std::string_view bytes, size_t id, const std::string& where) {
  SentencePieceFile::Piece piece;
  Message message(bytes, where);
  while (const auto field = message.next()) {
    if (field->number == 1 && field->wire_type == 2) piece.text = field->bytes;
    if (field->number == 2 && field->wire_type == 5) {
      const auto bits = static_cast<uint32_t>(field->value);
      std::memcpy(&piece.score, &bits, sizeof bits);
    }
    if (field->number == 3 && field->wire_type == 0) {
      if (field->value < 1 || field->value > 6) bad_input(where, fmt::format("piece {} has an unknown type", id));
      piece.type = static_cast<SentencePieceFile::Type>(field->value);
    }
  }
  if (!std::isfinite(piece.score)) bad_input(where, fmt::format("the score of piece {} is not a finite number", id));
  if (piece.text.empty()) bad_input(where, fmt::format("piece {} is empty", id));
  if (piece.text.size() > kMaxPieceBytes) {
    bad_input(where, fmt::format("piece {} is longer than {} bytes", id, kMaxPieceBytes));
  }
  if (!unicode::is_valid_utf8(piece.text)) bad_input(where, fmt::format("piece {} is not valid UTF-8", id));
  return piece;
}

void parse_trainer(std::string_view bytes, SentencePieceFile& file, const std::string& where) {
  Message message(bytes, where);
  while (const auto field = message.next()) {
    if (field->wire_type != 0) continue;
    if (field->number == 3) file.model_type = static_cast<int64_t>(field->value);
    if (field->number == 24) file.whitespace_as_suffix = field->value != 0;
    if (field->number == 35) file.byte_fallback = field->value != 0;
  }
}

void parse_normalizer(std::string_view bytes, SentencePieceFile& file, const std::string& where) {
  Message message(bytes, where);
  while (const auto field = message.next()) {
    if (field->number == 2 && field->wire_type == 2) file.charsmap = field->bytes;
    if (field->wire_type != 0) continue;
    if (field->number == 3) file.add_dummy_prefix = field->value != 0;
    if (field->number == 4) file.remove_extra_spaces = field->value != 0;
    if (field->number == 5) file.escape_spaces = field->value != 0;
  }
}

}  // namespace

SentencePieceFile parse_sentencepiece(std::string_view bytes, const std::string& where) {
  SentencePieceFile file;
  Message message(bytes, where);
  while (const auto field = message.next()) {
    if (field->wire_type != 2) continue;
    if (field->number == 1) {
      file.pieces.push_back(parse_piece(field->bytes, file.pieces.size(), where));
      if (std::ssize(file.pieces) > kMaxVocabulary)
        bad_input(where, fmt::format("more than {} pieces", kMaxVocabulary));
    }
    if (field->number == 2) parse_trainer(field->bytes, file, where);
    if (field->number == 3) parse_normalizer(field->bytes, file, where);
  }
  if (file.pieces.empty()) bad_input(where, "is no SentencePiece model: it has no pieces");
  return file;
}

}  // namespace fettle
