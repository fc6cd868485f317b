#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/printable.h"
#include "text/tokenizer_reader.h"
#include "text/unicode.h"
#include "text/vocab_json.h"

namespace fettle {
namespace {

namespace fs = std::filesystem;

void check_object(const Json& value, const std::string& where) {
  if (!value.is_object()) bad_input(where, "not a JSON object");
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
    add_once(checked_added_token(token, where), spec.added);
  }
}

// A special token's name: a string or {"content": …}.
void read_token_name(const Json& object, const char* key, std::string& name, const std::string& where) {
  const Json& value = json_member(object, key);
  if (value.is_null()) return;
  if (value.is_object()) {
    name = json_string(value, "content", where);
  } else {
    name = json_string(object, key, where);
  }
}

void read_token_names(const Json& object, WordPieceOptions& options, const std::string& where) {
  check_object(object, where);
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
  options.strip_accents = json_optional_bool(config, "strip_accents", where);
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

// The files of one tokenizer.
class FolderReader {
 public:
  explicit FolderReader(const fs::path& folder)
      : folder_(folder),
        config_where_((folder / "tokenizer_config.json").string()),
        map_where_((folder / "special_tokens_map.json").string()) {}

  bool has_any() const {
    return has("tokenizer.json") || has("vocab.txt") || (has("vocab.json") && has("merges.txt")) ||
           sentencepiece_name() != nullptr;
  }

  TokenizerSpec read() {
    std::string config_text = read_if_there(config_where_), map_text = read_if_there(map_where_);
    if (!config_text.empty()) config_ = parse_json(config_text, config_where_);
    if (!map_text.empty()) map_ = parse_json(map_text, map_where_);
    TokenizerSpec spec;
    if (has("tokenizer.json")) {
      spec = read_tokenizer_json();
    } else if (has("vocab.txt")) {
      spec = read_vocab_txt();
    } else if (has("vocab.json") && has("merges.txt")) {
      spec = read_merges();
    } else if (const char* name = sentencepiece_name()) {
      spec = read_sentencepiece_model(name);
    } else {
      io_error(folder_.string(), "no tokenizer is there",
               "tokenizer.json, vocab.txt, vocab.json with merges.txt, or a SentencePiece model");
    }
    spec.tokenizer_config = std::move(config_text);
    spec.special_tokens_map = std::move(map_text);
    return spec;
  }

 private:
  bool has(const char* name) const { return fs::exists(folder_ / name); }

  TokenizerSpec read_tokenizer_json() const {
    const KeptFile kept = keep("tokenizer.json");
    TokenizerSpec spec = parse_tokenizer_json(text_of(kept), kept.file->path());
    kept.file->drop_pages(kept.file->bytes().data(), kept.file->bytes().size());
    spec.kept.push_back(kept);
    if (const char* name = sentencepiece_name()) spec.kept.push_back(keep(name));
    read_token_names(map_, spec.options, map_where_);
    read_config(config_, spec, config_where_);
    if (spec.kind == PieceModelKind::kWordPiece) warn_of_contradiction(config_, spec, config_where_);
    return spec;
  }

  TokenizerSpec read_vocab_txt() const {
    const fs::path path = folder_ / "vocab.txt";
    std::vector<std::string> pieces = parse_vocab_txt(read_file(path), path.string());
    WordPieceOptions options;
    options.lowercase = has("tokenizer_config.json") || !has_capitals(pieces);
    read_token_names(map_, options, map_where_);
    read_token_name(map_, "unk_token", options.unk_token, map_where_);
    read_token_names(config_, options, config_where_);
    read_wordpiece_config(config_, options, config_where_);
    TokenizerSpec spec = spec_from_pieces(std::move(pieces), std::move(options), path.string());
    read_config(config_, spec, config_where_);
    read_added(spec);
    return spec;
  }

  // RoBERTa's vocab.json and merges.txt, or GPT-2's, which has no template.
  TokenizerSpec read_merges() const {
    const fs::path vocab_path = folder_ / "vocab.json", merges_path = folder_ / "merges.txt";
    TokenizerSpec spec;
    spec.where = vocab_path.string();
    set_byte_pair_defaults(spec);
    set_bare_template(spec);
    read_token_names(map_, spec.options, map_where_);
    read_config(config_, spec, config_where_);
    spec.pieces = parse_vocab_object(read_file(vocab_path), spec.where);
    spec.merges = parse_merges_txt(read_file(merges_path), merges_path.string());
    spec.byte_pair.add_prefix_space = json_bool_or(config_, "add_prefix_space", false, config_where_);
    spec.trimming = {true, spec.byte_pair.add_prefix_space};
    read_added(spec);

    const auto id_of = [&](const std::string& piece) {
      return static_cast<int32_t>(std::ranges::find(spec.pieces, piece) - spec.pieces.begin());
    };
    const auto n_pieces = static_cast<int32_t>(spec.pieces.size());
    const int32_t cls = id_of(spec.options.cls_token), sep = id_of(spec.options.sep_token);
    const std::string tokenizer_class = json_string_or(config_, "tokenizer_class", "", config_where_);
    if (!tokenizer_class.starts_with("GPT2") && cls < n_pieces && sep < n_pieces) set_roberta_template(cls, sep, spec);
    std::string unk = spec.single.size() > 1 ? "<unk>" : "<|endoftext|>";
    read_token_name(map_, "unk_token", unk, map_where_);
    for (const std::string& name :
         {spec.options.cls_token, spec.options.sep_token, spec.options.pad_token, unk, spec.options.mask_token}) {
      const int32_t id = id_of(name);
      const auto same = [&](const AddedToken& token) { return token.content == name; };
      if (id == n_pieces || std::ranges::any_of(spec.added, same)) continue;
      spec.added.push_back({.content = name, .id = id, .special = true, .lstrip = name == spec.options.mask_token});
    }
    std::ranges::sort(spec.added, {}, &AddedToken::id);
    return spec;
  }

  TokenizerSpec read_sentencepiece_model(const char* name) const {
    const KeptFile kept = keep(name);
    check_object(config_, config_where_);
    const SentencePieceOptions options{.file_name = name,
                                       .tokenizer_class = json_string_or(config_, "tokenizer_class", "", config_where_),
                                       .lowercase = json_bool_or(config_, "do_lower_case", true, config_where_),
                                       .keep_accents = json_bool_or(config_, "keep_accents", false, config_where_)};
    TokenizerSpec spec = read_sentencepiece(text_of(kept), options, kept.file->path());
    kept.file->drop_pages(kept.file->bytes().data(), kept.file->bytes().size());
    spec.kept.push_back(kept);
    read_token_names(map_, spec.options, map_where_);
    read_config(config_, spec, config_where_);
    read_added(spec);
    finish_sentencepiece(spec);
    return spec;
  }

  const char* sentencepiece_name() const {
    for (const char* name : {"sentencepiece.bpe.model", "spiece.model"}) {
      if (has(name)) return name;
    }
    return nullptr;
  }

  KeptFile keep(const char* name) const { return {name, MappedFile::open(folder_ / name)}; }

  static std::string_view text_of(const KeptFile& kept) {
    const std::span<const std::byte> bytes = kept.file->bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  // Added tokens beside a vocabulary.
  void read_added(TokenizerSpec& spec) const {
    read_added_decoder(json_member(config_, "added_tokens_decoder"), spec, config_where_);
    const fs::path path = folder_ / "added_tokens.json";
    const std::string text = read_if_there(path);
    if (!text.empty()) read_added_ids(parse_json(text, path.string()), spec, path.string());
    std::ranges::sort(spec.added, {}, &AddedToken::id);
  }

  fs::path folder_;
  std::string config_where_, map_where_;
  Json config_ = Json::object(), map_ = Json::object();
};

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

std::vector<MergeRule> parse_merges_txt(std::string_view text, const std::string& where) {
  std::vector<MergeRule> merges;
  for (const std::string& line : parse_vocab_txt(text, where)) {
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(split_merge(line, where));
  }
  return merges;
}

bool has_tokenizer(const fs::path& folder) {
  return FolderReader(folder).has_any();
}

TokenizerSpec read_tokenizer_folder(const fs::path& folder) {
  return FolderReader(folder).read();
}

}  // namespace fettle
