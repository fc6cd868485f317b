// What the readers of tokenizer.json and of the files beside it share.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "text/tokenizer_spec.h"

namespace fettle {

// object[key], null when it is absent.
const Json& json_member(const Json& object, const char* key);
// The same; kBadInput when it is no object.
const Json& json_object_member(const Json& object, const char* key, const std::string& where);
std::optional<bool> json_optional_bool(const Json& object, const char* key, const std::string& where);
// Its "type"; kBadInput when it is no object, naming it `part`.
std::string json_type_of(const Json& value, const char* part, const std::string& where);
[[noreturn]] void unsupported_json_part(const char* part, const std::string& type, const char* supported,
                                        const std::string& where);

// The post-processor; a sequence may have one that trims offsets and one template.
void read_post_processor(const Json& value, TokenizerSpec& spec);

// {"content": …, "special": …, …}. kBadInput when its content is empty or too long.
AddedToken read_added_token(const Json& item, int64_t id, const std::string& where);
AddedToken checked_added_token(AddedToken token, const std::string& where);
// [CLS] A [SEP] and [CLS] A [SEP] B [SEP].
void set_bert_template(int32_t cls, int32_t sep, TokenizerSpec& spec);
// <s> A </s> and <s> A </s></s> B </s>, all of type 0.
void set_roberta_template(int32_t cls, int32_t sep, TokenizerSpec& spec);
// Kind, decoder and names of special tokens as RoBERTa has them.
void set_byte_pair_defaults(TokenizerSpec& spec);
// Kind and decoder of Unigram models.
void set_unigram_defaults(TokenizerSpec& spec);
// The names of special tokens by what is there: those of XLM-R or ALBERT.
void name_special_tokens(TokenizerSpec& spec);
// A </s> and A </s> B </s>, all of type 0.
void set_t5_template(int32_t eos, TokenizerSpec& spec);
// The text alone, or one text behind the other.
void set_bare_template(TokenizerSpec& spec);

// What stands beside a SentencePiece model.
struct SentencePieceOptions {
  std::string file_name;
  std::string tokenizer_class;  // of tokenizer_config.json; may be empty
  bool lowercase = true;        // the rest is for ALBERT
  bool keep_accents = false;
};
// Pieces, scores, normalizer and the usual names of special tokens.
TokenizerSpec read_sentencepiece(std::string_view bytes, const SentencePieceOptions& options, const std::string& where);
// Template and added tokens, when the names of special tokens are settled.
void finish_sentencepiece(TokenizerSpec& spec);

}  // namespace fettle
