// Everything that the files of a tokenizer say, before it is made ready for use.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/added_tokens.h"
#include "text/tokenizer.h"

namespace fettle {

// One item of a TemplateProcessing template.
struct TemplateItem {
  enum class Kind { kSpecial, kFirst, kSecond };
  Kind kind = Kind::kSpecial;
  std::vector<int32_t> ids;  // of a special item
  int32_t type_id = 0;
};

struct TokenizerSpec {
  std::string where;  // file that errors name
  WordPieceOptions options;
  std::vector<std::string> pieces;  // of the model; "" for an unused id
  bool duplicates_allowed = false;  // the last of equal pieces wins (vocab.txt)
  std::vector<AddedToken> added;
  std::vector<TemplateItem> single, pair;
  bool truncate_left = false;
  bool has_decoder = true;  // WordPiece; without it decoded pieces are joined with spaces
  std::string decoder_prefix = "##";
  bool decoder_cleanup = true;
  bool clean_up_spaces = true;  // once more over the whole decoded text (tokenizer_config.json)
  // As loaded, empty when there was no such file.
  std::string tokenizer_json, tokenizer_config, special_tokens_map;
};

inline constexpr int64_t kMaxVocabulary = int64_t{1} << 22;
inline constexpr size_t kMaxPieceBytes = size_t{1} << 20;
inline constexpr size_t kMaxAddedTokenBytes = 1024;

// Errors as Tokenizer::load.
TokenizerSpec read_tokenizer_folder(const std::filesystem::path& folder);
// BERT's special tokens and template around the given pieces.
TokenizerSpec spec_from_pieces(std::vector<std::string> pieces, WordPieceOptions options, std::string where);
// The contents of a tokenizer.json. `where` names it in errors.
TokenizerSpec parse_tokenizer_json(std::string text, const std::string& where);
// Lines of a vocab.txt; the line's number is the id.
std::vector<std::string> parse_vocab_txt(std::string_view text, const std::string& where);

// The files that Tokenizer::save writes.
std::string make_tokenizer_json(const TokenizerSpec& spec);
std::string make_vocab_txt(const TokenizerSpec& spec);
Json make_tokenizer_config(const TokenizerSpec& spec);
Json make_special_tokens_map(const TokenizerSpec& spec);

}  // namespace fettle
