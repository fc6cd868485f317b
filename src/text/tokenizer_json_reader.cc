// Reads tokenizer.json part by part.
#include "text/tokenizer_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/printable.h"
#include "text/vocab_json.h"
#include "text/word_splitter.h"

namespace fettle {
namespace {

std::string type_of(const Json& value, const char* part, const std::string& where) {
  if (!value.is_object()) bad_input(where, fmt::format("\"{}\" is not an object", part));
  return json_string(value, "type", where);
}

[[noreturn]] void unsupported(const char* part, const std::string& type, const char* supported,
                              const std::string& where) {
  bad_input(where, fmt::format("{} \"{}\" is not supported", part, printable(type)),
            fmt::format("supported: {}", supported));
}

void read_normalizer(const Json& value, TokenizerSpec& spec) {
  if (spec.kind == PieceModelKind::kBytePair) {
    if (!value.is_null()) unsupported("normalizer", type_of(value, "normalizer", spec.where), "none", spec.where);
    return;
  }
  WordPieceOptions& options = spec.options;
  if (value.is_null()) {
    options.clean_text = options.split_chinese = options.lowercase = false;
    options.strip_accents = false;
    return;
  }
  const std::string type = type_of(value, "normalizer", spec.where);
  if (type != "BertNormalizer") unsupported("normalizer", type, "BertNormalizer", spec.where);
  options.clean_text = json_bool_or(value, "clean_text", true, spec.where);
  options.split_chinese = json_bool_or(value, "handle_chinese_chars", true, spec.where);
  options.lowercase = json_bool_or(value, "lowercase", true, spec.where);
  options.strip_accents = json_optional_bool(value, "strip_accents", spec.where);
}

// Old files do not name the model's type.
PieceModelKind model_kind(const Json& model, const ModelCut& cut, const std::string& where) {
  const std::string type = json_string_or(model, "type", cut.merges.empty() ? "WordPiece" : "BPE", where);
  if (type == "WordPiece") return PieceModelKind::kWordPiece;
  if (type == "BPE") return PieceModelKind::kBytePair;
  unsupported("model", type, "WordPiece, BPE", where);
}

void read_wordpiece(const Json& model, std::string_view vocab, TokenizerSpec& spec) {
  spec.options.unk_token = json_string_or(model, "unk_token", "[UNK]", spec.where);
  spec.options.continuing_prefix = json_string_or(model, "continuing_subword_prefix", "##", spec.where);
  spec.options.max_input_chars_per_word =
      static_cast<int>(json_int_or(model, "max_input_chars_per_word", 100, 0, kMaxInputCharsPerWord, spec.where));
  spec.pieces = parse_vocab_object(vocab, spec.where);
}

void read_byte_pair(const Json& model, const ModelCut& cut, TokenizerSpec& spec) {
  const std::string& where = spec.where;
  set_byte_pair_defaults(spec);
  spec.options.unk_token = json_string_or(model, "unk_token", "", where);
  spec.byte_pair.has_unk = !spec.options.unk_token.empty();
  spec.byte_pair.fuse_unk = json_bool_or(model, "fuse_unk", false, where);
  spec.byte_pair.ignore_merges = json_bool_or(model, "ignore_merges", false, where);
  const bool has_affixes = !json_string_or(model, "continuing_subword_prefix", "", where).empty() ||
                           !json_string_or(model, "end_of_word_suffix", "", where).empty();
  if (has_affixes || json_bool_or(model, "byte_fallback", false, where)) {
    bad_input(where, "byte-pair encoding with prefixes, suffixes or byte fallback is not supported",
              "supported: byte-level, as in GPT-2 and RoBERTa");
  }
  if (json_number_or(model, "dropout", 0, where) != 0) bad_input(where, "\"dropout\" of merges is not supported");
  if (cut.merges.empty()) bad_input(where, "\"model\" has no \"merges\"");
  spec.pieces = parse_vocab_object(cut.vocab, where);
  spec.merges = parse_merges_array(cut.merges, where);
}

void read_model(const Json& model, const ModelCut& cut, TokenizerSpec& spec) {
  spec.kind = model_kind(model, cut, spec.where);
  if (cut.vocab.empty() || cut.vocab[0] != '{') bad_input(spec.where, "\"model\" has no \"vocab\" object");
  if (spec.kind == PieceModelKind::kBytePair) return read_byte_pair(model, cut, spec);
  read_wordpiece(model, cut.vocab, spec);
}

void read_byte_level(const Json& pre_tokenizer, TokenizerSpec& spec) {
  const std::string type = type_of(pre_tokenizer, "pre_tokenizer", spec.where);
  if (type == "Sequence") {
    const Json& list = json_member(pre_tokenizer, "pretokenizers");
    if (list.is_array() && list.size() == 1) return read_byte_level(list[0], spec);
  }
  if (type != "ByteLevel" || !json_bool_or(pre_tokenizer, "use_regex", true, spec.where)) {
    unsupported("pre_tokenizer", type, "ByteLevel with its own pattern", spec.where);
  }
  spec.byte_pair.add_prefix_space = json_bool_or(pre_tokenizer, "add_prefix_space", true, spec.where);
}

void read_pre_tokenizer(const Json& value, TokenizerSpec& spec) {
  if (spec.kind == PieceModelKind::kBytePair) return read_byte_level(value, spec);
  const std::string type = type_of(value, "pre_tokenizer", spec.where);
  if (type != "BertPreTokenizer") unsupported("pre_tokenizer", type, "BertPreTokenizer", spec.where);
}

void read_added_tokens(const Json& list, TokenizerSpec& spec) {
  if (list.is_null()) return;
  if (!list.is_array()) bad_input(spec.where, "\"added_tokens\" is not an array");
  for (const Json& item : list) {
    if (!item.is_object()) bad_input(spec.where, "an added token is not an object");
    const int64_t id = json_int(item, "id", 0, kMaxVocabulary - 1, spec.where);
    spec.added.push_back(read_added_token(item, id, spec.where));
  }
}

int32_t checked_id(const Json& value, const std::string& where) {
  if (!value.is_number_integer() || value < 0 || value >= kMaxVocabulary) {
    bad_input(where, "a token id of the post-processor is not an integer in range");
  }
  return value.get<int32_t>();
}

std::vector<TemplateItem> read_template(const Json& list, const Json& specials, const std::string& where) {
  if (!list.is_array()) bad_input(where, "the post-processor's template is not an array");
  std::vector<TemplateItem> items;
  for (const Json& entry : list) {
    if (!entry.is_object() || entry.size() != 1 || !entry.begin().value().is_object()) {
      bad_input(where, "an item of the post-processor's template is malformed");
    }
    const Json& body = entry.begin().value();
    TemplateItem item;
    item.type_id = static_cast<int32_t>(json_int_or(body, "type_id", 0, 0, 255, where));
    const std::string id = json_string(body, "id", where);
    if (entry.begin().key() == "Sequence") {
      if (id != "A" && id != "B") bad_input(where, "a template's sequence is neither A nor B");
      item.kind = id == "A" ? TemplateItem::Kind::kFirst : TemplateItem::Kind::kSecond;
    } else if (entry.begin().key() == "SpecialToken") {
      const Json& ids = json_member(json_object_member(specials, id.c_str(), where), "ids");
      if (!ids.is_array())
        bad_input(where, fmt::format("special token \"{}\" of the template has no ids", printable(id)));
      for (const Json& value : ids) item.ids.push_back(checked_id(value, where));
    } else {
      bad_input(where, "an item of the post-processor's template is neither Sequence nor SpecialToken");
    }
    items.push_back(std::move(item));
  }
  return items;
}

void read_template_processing(const Json& value, TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  const Json& specials = json_object_member(value, "special_tokens", spec.where);
  spec.single = read_template(json_member(value, "single"), specials, spec.where);
  spec.pair = read_template(json_member(value, "pair"), specials, spec.where);
  const auto count = [](const std::vector<TemplateItem>& items, Kind kind) {
    return std::count_if(items.begin(), items.end(), [kind](const TemplateItem& item) { return item.kind == kind; });
  };
  if (count(spec.single, Kind::kFirst) != 1 || count(spec.single, Kind::kSecond) != 0 ||
      count(spec.pair, Kind::kFirst) != 1 || count(spec.pair, Kind::kSecond) != 1) {
    bad_input(spec.where, "the post-processor's templates do not have each sequence once");
  }
}

// `BertProcessing` and `RobertaProcessing`: {"cls": ["<s>", 0], "sep": ["</s>", 2]}.
void read_fixed_processing(const Json& value, bool is_roberta, TokenizerSpec& spec) {
  const auto read = [&](const char* key, std::string& name) {
    const Json& item = json_member(value, key);
    if (!item.is_array() || item.size() != 2 || !item[0].is_string()) {
      bad_input(spec.where, fmt::format("\"{}\" is not [token, id]", key));
    }
    name = item[0].get<std::string>();
    return checked_id(item[1], spec.where);
  };
  const int32_t cls = read("cls", spec.options.cls_token);
  const int32_t sep = read("sep", spec.options.sep_token);
  if (!is_roberta) return set_bert_template(cls, sep, spec);
  set_roberta_template(cls, sep, spec);
  spec.trimming.on = json_bool_or(value, "trim_offsets", true, spec.where);
  spec.trimming.add_prefix_space = json_bool_or(value, "add_prefix_space", true, spec.where);
}

void read_processor(const Json& value, TokenizerSpec& spec) {
  const std::string type = type_of(value, "post_processor", spec.where);
  if (type == "TemplateProcessing") return read_template_processing(value, spec);
  if (type == "BertProcessing") return read_fixed_processing(value, false, spec);
  if (type == "RobertaProcessing") return read_fixed_processing(value, true, spec);
  if (type != "ByteLevel") {
    unsupported("post_processor", type, "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel", spec.where);
  }
  spec.trimming.on = json_bool_or(value, "trim_offsets", true, spec.where);
  spec.trimming.add_prefix_space = json_bool_or(value, "add_prefix_space", true, spec.where);
}

// A sequence may have one that trims offsets and one template.
void read_post_processor(const Json& value, TokenizerSpec& spec) {
  set_bare_template(spec);
  if (value.is_null()) return;
  if (type_of(value, "post_processor", spec.where) != "Sequence") return read_processor(value, spec);
  const Json& list = json_member(value, "processors");
  if (!list.is_array()) bad_input(spec.where, "the post-processor's \"processors\" is not an array");
  int n_templates = 0;
  for (const Json& processor : list) {
    n_templates += type_of(processor, "post_processor", spec.where) != "ByteLevel";
    if (n_templates > 1) bad_input(spec.where, "more than one template in the post-processor is not supported");
    read_processor(processor, spec);
  }
}

void read_decoder(const Json& value, TokenizerSpec& spec) {
  spec.decoder = DecoderKind::kNone;
  if (value.is_null()) return;
  const std::string type = type_of(value, "decoder", spec.where);
  if (type == "ByteLevel") {
    spec.decoder = DecoderKind::kByteLevel;
    return;
  }
  if (type != "WordPiece") unsupported("decoder", type, "WordPiece, ByteLevel", spec.where);
  spec.decoder = DecoderKind::kWordPiece;
  spec.decoder_prefix = json_string_or(value, "prefix", "##", spec.where);
  spec.decoder_cleanup = json_bool_or(value, "cleanup", true, spec.where);
}

}  // namespace

const Json& json_member(const Json& object, const char* key) {
  static const Json kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

const Json& json_object_member(const Json& object, const char* key, const std::string& where) {
  const Json& value = json_member(object, key);
  if (!value.is_object()) bad_input(where, fmt::format("\"{}\" is missing or not an object", key));
  return value;
}

std::optional<bool> json_optional_bool(const Json& object, const char* key, const std::string& where) {
  const Json& value = json_member(object, key);
  if (value.is_null()) return std::nullopt;
  if (!value.is_boolean()) bad_input(where, fmt::format("\"{}\" is not true, false or null", key));
  return value.get<bool>();
}

AddedToken checked_added_token(AddedToken token, const std::string& where) {
  if (token.content.empty()) bad_input(where, fmt::format("added token {} is empty", token.id));
  if (token.content.size() > kMaxAddedTokenBytes) {
    bad_input(where, fmt::format("added token {} is longer than {} bytes", token.id, kMaxAddedTokenBytes));
  }
  return token;
}

AddedToken read_added_token(const Json& item, int64_t id, const std::string& where) {
  AddedToken token;
  token.content = json_string(item, "content", where);
  token.id = static_cast<int32_t>(id);
  token.special = json_bool_or(item, "special", false, where);
  token.single_word = json_bool_or(item, "single_word", false, where);
  token.lstrip = json_bool_or(item, "lstrip", false, where);
  token.rstrip = json_bool_or(item, "rstrip", false, where);
  token.normalized = json_bool_or(item, "normalized", !token.special, where);
  return checked_added_token(std::move(token), where);
}

void set_bert_template(int32_t cls, int32_t sep, TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  spec.single = {{Kind::kSpecial, {cls}, 0}, {Kind::kFirst, {}, 0}, {Kind::kSpecial, {sep}, 0}};
  spec.pair = spec.single;
  spec.pair.push_back({Kind::kSecond, {}, 1});
  spec.pair.push_back({Kind::kSpecial, {sep}, 1});
}

void set_roberta_template(int32_t cls, int32_t sep, TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  spec.single = {{Kind::kSpecial, {cls}, 0}, {Kind::kFirst, {}, 0}, {Kind::kSpecial, {sep}, 0}};
  spec.pair = spec.single;
  spec.pair.push_back({Kind::kSpecial, {sep}, 0});
  spec.pair.push_back({Kind::kSecond, {}, 0});
  spec.pair.push_back({Kind::kSpecial, {sep}, 0});
}

void set_bare_template(TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  spec.single = {{Kind::kFirst, {}, 0}};
  spec.pair = {{Kind::kFirst, {}, 0}, {Kind::kSecond, {}, 1}};
}

void set_byte_pair_defaults(TokenizerSpec& spec) {
  spec.kind = PieceModelKind::kBytePair;
  spec.decoder = DecoderKind::kByteLevel;
  spec.clean_up_spaces = false;
  spec.options.unk_token = "";
  spec.options.cls_token = "<s>";
  spec.options.sep_token = "</s>";
  spec.options.pad_token = "<pad>";
  spec.options.mask_token = "<mask>";
}

TokenizerSpec parse_tokenizer_json(std::string text, const std::string& where) {
  TokenizerSpec spec;
  spec.where = where;
  const ModelCut cut = cut_out_model(text);
  const Json root = parse_json(cut.rest, where);
  if (!root.is_object()) bad_input(where, "not a JSON object");
  read_model(json_object_member(root, "model", where), cut, spec);
  read_normalizer(json_member(root, "normalizer"), spec);
  read_pre_tokenizer(json_member(root, "pre_tokenizer"), spec);
  read_added_tokens(json_member(root, "added_tokens"), spec);
  read_post_processor(json_member(root, "post_processor"), spec);
  read_decoder(json_member(root, "decoder"), spec);
  const Json& truncation = json_member(root, "truncation");
  if (truncation.is_object()) spec.truncate_left = json_string_or(truncation, "direction", "Right", where) == "Left";
  spec.tokenizer_json = std::move(text);
  return spec;
}

}  // namespace fettle
