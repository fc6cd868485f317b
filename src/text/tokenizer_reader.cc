#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"
#include "text/vocab_json.h"
#include "text/word_splitter.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

const Json& member(const Json& object, const char* key) {
  static const Json kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

const Json& object_member(const Json& object, const char* key, const std::string& where) {
  const Json& value = member(object, key);
  if (!value.is_object()) bad_input(where, fmt::format("\"{}\" is missing or not an object", key));
  return value;
}

std::string type_of(const Json& value, const char* part, const std::string& where) {
  if (!value.is_object()) bad_input(where, fmt::format("\"{}\" is not an object", part));
  return json_string(value, "type", where);
}

[[noreturn]] void unsupported(const char* part, const std::string& type, const char* supported,
                              const std::string& where) {
  bad_input(where, fmt::format("{} \"{}\" is not supported", part, printable(type)),
            fmt::format("supported: {}", supported));
}

std::optional<bool> optional_bool(const Json& object, const char* key, const std::string& where) {
  const Json& value = member(object, key);
  if (value.is_null()) return std::nullopt;
  if (!value.is_boolean()) bad_input(where, fmt::format("\"{}\" is not true, false or null", key));
  return value.get<bool>();
}

void read_normalizer(const Json& value, TokenizerSpec& spec) {
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
  options.strip_accents = optional_bool(value, "strip_accents", spec.where);
}

void read_model(const Json& model, std::string_view vocab, TokenizerSpec& spec) {
  const std::string type = json_string_or(model, "type", "WordPiece", spec.where);
  if (type != "WordPiece") unsupported("model", type, "WordPiece", spec.where);
  spec.options.unk_token = json_string_or(model, "unk_token", "[UNK]", spec.where);
  spec.options.continuing_prefix = json_string_or(model, "continuing_subword_prefix", "##", spec.where);
  spec.options.max_input_chars_per_word =
      static_cast<int>(json_int_or(model, "max_input_chars_per_word", 100, 0, kMaxInputCharsPerWord, spec.where));
  if (vocab.empty()) bad_input(spec.where, "\"model\" has no \"vocab\" object");
  spec.pieces = parse_vocab_object(vocab, spec.where);
}

AddedToken checked(AddedToken token, const std::string& where) {
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
  return checked(std::move(token), where);
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

void add_once(AddedToken token, std::vector<AddedToken>& added) {
  const auto is_same = [&](const AddedToken& other) { return other.id == token.id && other.content == token.content; };
  if (std::none_of(added.begin(), added.end(), is_same)) added.push_back(std::move(token));
}

// tokenizer_config.json's {"added_tokens_decoder": {"30522": {"content": …}}}, which counts where the vocabulary is a
// vocab.txt.
void read_added_decoder(const Json& decoder, TokenizerSpec& spec, const std::string& where) {
  if (decoder.is_null()) return;
  if (!decoder.is_object()) bad_input(where, "\"added_tokens_decoder\" is not an object");
  for (const auto& [key, item] : decoder.items()) {
    int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= kMaxVocabulary) {
      bad_input(where, fmt::format("\"{}\" is not the id of an added token", printable(key)));
    }
    if (!item.is_object()) bad_input(where, fmt::format("added token {} is not an object", id));
    add_once(read_added_token(item, id, where), spec.added);
  }
}

// added_tokens.json, {"content": id}, of older folders. What the other files know already stays as they say.
void read_added_ids(const Json& ids, TokenizerSpec& spec, const std::string& where) {
  if (!ids.is_object()) bad_input(where, "not a JSON object");
  for (const auto& [content, value] : ids.items()) {
    if (!value.is_number_integer() || value < 0 || value >= kMaxVocabulary) {
      bad_input(where, fmt::format("the id of \"{}\" is not an integer in range", printable(content)));
    }
    const AddedToken token{.content = content, .id = value.get<int32_t>(), .normalized = true};
    add_once(checked(token, where), spec.added);
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
      const Json& ids = member(object_member(specials, id.c_str(), where), "ids");
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

void set_bert_template(int32_t cls, int32_t sep, TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  spec.single = {{Kind::kSpecial, {cls}, 0}, {Kind::kFirst, {}, 0}, {Kind::kSpecial, {sep}, 0}};
  spec.pair = spec.single;
  spec.pair.push_back({Kind::kSecond, {}, 1});
  spec.pair.push_back({Kind::kSpecial, {sep}, 1});
}

void read_post_processor(const Json& value, TokenizerSpec& spec) {
  using Kind = TemplateItem::Kind;
  if (value.is_null()) {
    spec.single = {{Kind::kFirst, {}, 0}};
    spec.pair = {{Kind::kFirst, {}, 0}, {Kind::kSecond, {}, 1}};
    return;
  }
  const std::string type = type_of(value, "post_processor", spec.where);
  if (type == "BertProcessing") {
    const auto id_of = [&](const char* key) {
      const Json& item = member(value, key);
      if (!item.is_array() || item.size() != 2) bad_input(spec.where, fmt::format("\"{}\" is not [token, id]", key));
      return checked_id(item[1], spec.where);
    };
    return set_bert_template(id_of("cls"), id_of("sep"), spec);
  }
  if (type != "TemplateProcessing") {
    unsupported("post_processor", type, "TemplateProcessing, BertProcessing", spec.where);
  }
  const Json& specials = object_member(value, "special_tokens", spec.where);
  spec.single = read_template(member(value, "single"), specials, spec.where);
  spec.pair = read_template(member(value, "pair"), specials, spec.where);
  const auto count = [](const std::vector<TemplateItem>& items, Kind kind) {
    return std::count_if(items.begin(), items.end(), [kind](const TemplateItem& item) { return item.kind == kind; });
  };
  if (count(spec.single, Kind::kFirst) != 1 || count(spec.single, Kind::kSecond) != 0 ||
      count(spec.pair, Kind::kFirst) != 1 || count(spec.pair, Kind::kSecond) != 1) {
    bad_input(spec.where, "the post-processor's templates do not have each sequence once");
  }
}

void read_decoder(const Json& value, TokenizerSpec& spec) {
  spec.has_decoder = !value.is_null();
  if (value.is_null()) return;
  const std::string type = type_of(value, "decoder", spec.where);
  if (type != "WordPiece") unsupported("decoder", type, "WordPiece", spec.where);
  spec.decoder_prefix = json_string_or(value, "prefix", "##", spec.where);
  spec.decoder_cleanup = json_bool_or(value, "cleanup", true, spec.where);
}

// A special token's name: a string or {"content": …}.
void read_token_name(const Json& object, const char* key, std::string& name, const std::string& where) {
  const Json& value = member(object, key);
  if (value.is_null()) return;
  if (value.is_object()) {
    name = json_string(value, "content", where);
  } else {
    name = json_string(object, key, where);
  }
}

void read_token_names(const Json& object, WordPieceOptions& options, const std::string& where) {
  if (!object.is_object()) bad_input(where, "not a JSON object");
  read_token_name(object, "cls_token", options.cls_token, where);
  read_token_name(object, "sep_token", options.sep_token, where);
  read_token_name(object, "pad_token", options.pad_token, where);
  read_token_name(object, "mask_token", options.mask_token, where);
}

void read_config(const Json& config, TokenizerSpec& spec, const std::string& where) {
  read_token_names(config, spec.options, where);
  spec.clean_up_spaces = json_bool_or(config, "clean_up_tokenization_spaces", spec.clean_up_spaces, where);
  spec.truncate_left =
      json_string_or(config, "truncation_side", spec.truncate_left ? "left" : "right", where) == "left";
  const double length = json_number_or(config, "model_max_length", 0, where);
  if (length >= 1 && length <= 1 << 24) spec.options.model_max_length = static_cast<int>(length);
}

void read_wordpiece_config(const Json& config, WordPieceOptions& options, const std::string& where) {
  options.lowercase = json_bool_or(config, "do_lower_case", options.lowercase, where);
  options.split_chinese = json_bool_or(config, "tokenize_chinese_chars", options.split_chinese, where);
  options.strip_accents = optional_bool(config, "strip_accents", where);
  read_token_name(config, "unk_token", options.unk_token, where);
}

// Without a tokenizer_config.json nothing says whether text is lower-cased; a vocabulary with capitals says it is not.
bool has_capitals(const std::vector<std::string>& pieces) {
  return std::any_of(pieces.begin(), pieces.end(), [](const std::string& piece) {
    return !piece.starts_with('[') &&
           std::any_of(piece.begin(), piece.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  });
}

void check_pieces(const std::vector<std::string>& pieces, const std::string& where) {
  if (std::ssize(pieces) > kMaxVocabulary) bad_input(where, fmt::format("more than {} pieces", kMaxVocabulary));
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].size() > kMaxPieceBytes) {
      bad_input(where, fmt::format("piece {} is longer than {} bytes", id, kMaxPieceBytes));
    }
    if (!unicode::is_valid_utf8(pieces[id])) bad_input(where, fmt::format("piece {} is not valid UTF-8", id));
  }
}

std::string read_if_there(const fs::path& path) {
  return fs::exists(path) ? read_file(path) : std::string();
}

void warn_of_contradiction(const Json& config, const TokenizerSpec& spec, const std::string& where) {
  WordPieceOptions said = spec.options;
  read_wordpiece_config(config, said, where);
  if (said.lowercase != spec.options.lowercase || said.split_chinese != spec.options.split_chinese) {
    log_warning(fmt::format("{}: contradicts tokenizer.json, which is followed", where));
  }
}

}  // namespace

std::vector<std::string> parse_vocab_txt(std::string_view text, const std::string& where) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (!unicode::is_valid_utf8(text)) bad_input(where, "not valid UTF-8");
  std::vector<std::string> pieces;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.size() > kMaxPieceBytes) {
      bad_input(where, fmt::format("line {} is longer than {} bytes", pieces.size() + 1, kMaxPieceBytes));
    }
    pieces.emplace_back(line);
    if (static_cast<int64_t>(pieces.size()) > kMaxVocabulary) {
      bad_input(where, fmt::format("more than {} lines", kMaxVocabulary));
    }
  }
  return pieces;
}

TokenizerSpec spec_from_pieces(std::vector<std::string> pieces, WordPieceOptions options, std::string where) {
  TokenizerSpec spec;
  spec.where = std::move(where);
  spec.options = std::move(options);
  spec.pieces = std::move(pieces);
  spec.duplicates_allowed = true;
  spec.decoder_prefix = spec.options.continuing_prefix;
  check_pieces(spec.pieces, spec.where);
  const auto id_of = [&](const std::string& name) {
    const auto last = std::find(spec.pieces.rbegin(), spec.pieces.rend(), name);
    return static_cast<int32_t>(spec.pieces.rend() - last) - 1;
  };
  const WordPieceOptions& o = spec.options;
  for (const std::string* name : {&o.unk_token, &o.cls_token, &o.sep_token}) {
    if (name->empty() || id_of(*name) < 0) {
      bad_input(spec.where, fmt::format("the vocabulary has no \"{}\"", printable(*name)));
    }
  }
  for (const std::string* name : {&o.pad_token, &o.unk_token, &o.cls_token, &o.sep_token, &o.mask_token}) {
    const int32_t id = name->empty() ? -1 : id_of(*name);
    const auto same = [id](const AddedToken& token) { return token.id == id; };
    if (id < 0 || std::any_of(spec.added.begin(), spec.added.end(), same)) continue;
    spec.added.push_back({.content = *name, .id = id, .special = true});
  }
  std::sort(spec.added.begin(), spec.added.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  set_bert_template(id_of(o.cls_token), id_of(o.sep_token), spec);
  return spec;
}

TokenizerSpec parse_tokenizer_json(std::string text, const std::string& where) {
  TokenizerSpec spec;
  spec.where = where;
  const VocabCut cut = cut_out_vocab(text);
  const Json root = parse_json(cut.rest, where);
  if (!root.is_object()) bad_input(where, "not a JSON object");
  read_model(object_member(root, "model", where), cut.object, spec);
  read_normalizer(member(root, "normalizer"), spec);
  const std::string pre_tokenizer = type_of(member(root, "pre_tokenizer"), "pre_tokenizer", where);
  if (pre_tokenizer != "BertPreTokenizer") unsupported("pre_tokenizer", pre_tokenizer, "BertPreTokenizer", where);
  read_added_tokens(member(root, "added_tokens"), spec);
  read_post_processor(member(root, "post_processor"), spec);
  read_decoder(member(root, "decoder"), spec);
  const Json& truncation = member(root, "truncation");
  if (truncation.is_object()) spec.truncate_left = json_string_or(truncation, "direction", "Right", where) == "Left";
  spec.tokenizer_json = std::move(text);
  return spec;
}

TokenizerSpec read_tokenizer_folder(const fs::path& folder) {
  const fs::path json_path = folder / "tokenizer.json", vocab_path = folder / "vocab.txt";
  const fs::path config_path = folder / "tokenizer_config.json", map_path = folder / "special_tokens_map.json";
  const fs::path added_path = folder / "added_tokens.json";
  const bool has_json = fs::exists(json_path);
  if (!has_json && !fs::exists(vocab_path)) {
    io_error(folder.string(), "neither tokenizer.json nor vocab.txt is there");
  }
  std::string config_text = read_if_there(config_path), map_text = read_if_there(map_path);
  const Json config = config_text.empty() ? Json::object() : parse_json(config_text, config_path.string());
  const Json map = map_text.empty() ? Json::object() : parse_json(map_text, map_path.string());

  TokenizerSpec spec;
  if (has_json) {
    spec = parse_tokenizer_json(read_file(json_path), json_path.string());
    read_token_names(map, spec.options, map_path.string());
    read_config(config, spec, config_path.string());
    warn_of_contradiction(config, spec, config_path.string());
  } else {
    std::vector<std::string> pieces = parse_vocab_txt(read_file(vocab_path), vocab_path.string());
    WordPieceOptions options;
    options.lowercase = !config_text.empty() || !has_capitals(pieces);
    read_token_names(map, options, map_path.string());
    read_token_name(map, "unk_token", options.unk_token, map_path.string());
    read_token_names(config, options, config_path.string());
    read_wordpiece_config(config, options, config_path.string());
    spec = spec_from_pieces(std::move(pieces), std::move(options), vocab_path.string());
    read_config(config, spec, config_path.string());
    read_added_decoder(member(config, "added_tokens_decoder"), spec, config_path.string());
    const std::string added_text = read_if_there(added_path);
    if (!added_text.empty()) read_added_ids(parse_json(added_text, added_path.string()), spec, added_path.string());
    std::sort(spec.added.begin(), spec.added.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  }
  spec.tokenizer_config = std::move(config_text);
  spec.special_tokens_map = std::move(map_text);
  return spec;
}

}  // namespace fettle
