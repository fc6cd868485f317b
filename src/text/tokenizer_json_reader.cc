// Reads tokenizer.json part by part.
#include "text/tokenizer_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/printable.h"
#include "text/vocab_json.h"
#include "text/word_splitter.h"

namespace fettle {
namespace {

std::string decode_base64(std::string_view text, const std::string& where) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int8_t, 256> values;
  values.fill(-1);
  for (size_t i = 0; i < kDigits.size(); ++i) values[static_cast<unsigned char>(kDigits[i])] = static_cast<int8_t>(i);
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int n_bits = 0;
  for (const char c : text) {
    const int8_t value = values[static_cast<unsigned char>(c)];
    if (value < 0) bad_input(where, "\"precompiled_charsmap\" is not base64");
    bits = bits << 6 | static_cast<uint32_t>(value);
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    out += static_cast<char>(bits >> n_bits & 0xff);
  }
  return out;
}

NormalizerStep read_replace(const Json& value, const std::string& where) {
  using Kind = NormalizerStep::Kind;
  NormalizerStep step{.kind = Kind::kReplace};
  const Json& pattern = json_object_member(value, "pattern", where);
  step.content = json_string(value, "content", where);
  if (pattern.contains("Regex")) {
    const std::string regex = json_string(pattern, "Regex", where);
    if (regex != " {2,}") unsupported_json_part("the pattern of Replace,", regex, "\" {2,}\" and plain strings", where);
    step.kind = Kind::kReplaceSpaces;
  } else {
    step.pattern = json_string(pattern, "String", where);
    if (step.pattern.empty()) bad_input(where, "the pattern of Replace is empty");
  }
  return step;
}

void read_normalizer_steps(const Json& value, TokenizerSpec& spec) {
  using Kind = NormalizerStep::Kind;
  static constexpr std::pair<std::string_view, Kind> kPlain[] = {{"NFC", Kind::kNfc},
                                                                 {"NFD", Kind::kNfd},
                                                                 {"NFKC", Kind::kNfkc},
                                                                 {"NFKD", Kind::kNfkd},
                                                                 {"Lowercase", Kind::kLowercase},
                                                                 {"StripAccents", Kind::kStripAccents}};
  const std::string type = json_type_of(value, "normalizer", spec.where);
  NormalizerStep step;
  if (type == "Sequence") {
    const Json& list = json_member(value, "normalizers");
    if (!list.is_array()) bad_input(spec.where, "the normalizer's \"normalizers\" is not an array");
    for (const Json& item : list) read_normalizer_steps(item, spec);
    return;
  }
  if (type == "Precompiled") {
    const std::string text = json_string_or(value, "precompiled_charsmap", "", spec.where);
    if (text.empty()) return;
    step.charsmap = std::make_shared<const Charsmap>(decode_base64(text, spec.where), spec.where);
  } else if (type == "Replace") {
    step = read_replace(value, spec.where);
  } else if (type == "Strip") {
    step.kind = Kind::kStrip;
    step.left = json_bool_or(value, "strip_left", true, spec.where);
    step.right = json_bool_or(value, "strip_right", true, spec.where);
  } else {
    const auto plain = std::ranges::find(kPlain, std::string_view(type), [](const auto& row) { return row.first; });
    if (plain == std::end(kPlain)) {
      unsupported_json_part("normalizer", type,
                            "Precompiled, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Replace, Strip", spec.where);
    }
    step.kind = plain->second;
  }
  spec.normalizer.push_back(std::move(step));
}

void read_normalizer(const Json& value, TokenizerSpec& spec) {
  if (spec.kind == PieceModelKind::kUnigram) {
    if (!value.is_null()) read_normalizer_steps(value, spec);
    return;
  }
  if (spec.kind == PieceModelKind::kBytePair) {
    if (!value.is_null())
      unsupported_json_part("normalizer", json_type_of(value, "normalizer", spec.where), "none", spec.where);
    return;
  }
  WordPieceOptions& options = spec.options;
  if (value.is_null()) {
    options.clean_text = options.split_chinese = options.lowercase = false;
    options.strip_accents = false;
    return;
  }
  const std::string type = json_type_of(value, "normalizer", spec.where);
  if (type != "BertNormalizer") unsupported_json_part("normalizer", type, "BertNormalizer", spec.where);
  options.clean_text = json_bool_or(value, "clean_text", true, spec.where);
  options.split_chinese = json_bool_or(value, "handle_chinese_chars", true, spec.where);
  options.lowercase = json_bool_or(value, "lowercase", true, spec.where);
  options.strip_accents = json_optional_bool(value, "strip_accents", spec.where);
}

// Old files do not name the model's type.
PieceModelKind model_kind(const Json& model, const ModelCut& cut, const std::string& where) {
  const bool is_list = cut.vocab.starts_with('[');
  const char* guess = !cut.merges.empty() ? "BPE" : is_list ? "Unigram" : "WordPiece";
  const std::string type = json_string_or(model, "type", guess, where);
  if (type == "WordPiece") return PieceModelKind::kWordPiece;
  if (type == "BPE") return PieceModelKind::kBytePair;
  if (type == "Unigram") return PieceModelKind::kUnigram;
  unsupported_json_part("model", type, "WordPiece, BPE, Unigram", where);
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

void read_unigram(const Json& model, std::string_view vocab, TokenizerSpec& spec) {
  set_unigram_defaults(spec);
  UnigramSpec& unigram = spec.unigram;
  unigram.options.byte_fallback = json_bool_or(model, "byte_fallback", false, spec.where);
  for (ScoredPiece& piece : parse_scored_pieces(vocab, spec.where)) {
    spec.pieces.push_back(std::move(piece.text));
    unigram.scores.push_back(piece.score);
    unigram.min_score = std::min(unigram.min_score, piece.score);
  }
  const int64_t n_pieces = std::ssize(spec.pieces);
  const int64_t unk = json_int_or(model, "unk_id", -1, 0, std::max<int64_t>(n_pieces - 1, 0), spec.where);
  if (unk < 0 || n_pieces == 0) bad_input(spec.where, "the model names no unknown piece (\"unk_id\")");
  unigram.options.unk_id = static_cast<int32_t>(unk);
  spec.options.unk_token = spec.pieces[static_cast<size_t>(unk)];
  unigram.matches.assign(spec.pieces.size(), true);
  unigram.matches[static_cast<size_t>(unk)] = false;
}

void read_model(const Json& model, const ModelCut& cut, TokenizerSpec& spec) {
  spec.kind = model_kind(model, cut, spec.where);
  const bool is_unigram = spec.kind == PieceModelKind::kUnigram;
  if (!cut.vocab.starts_with(is_unigram ? '[' : '{')) {
    bad_input(spec.where, fmt::format("\"model\" has no \"vocab\" {}", is_unigram ? "list" : "object"));
  }
  if (spec.kind == PieceModelKind::kBytePair) return read_byte_pair(model, cut, spec);
  if (is_unigram) return read_unigram(model, cut.vocab, spec);
  read_wordpiece(model, cut.vocab, spec);
}

void read_byte_level(const Json& pre_tokenizer, TokenizerSpec& spec) {
  const std::string type = json_type_of(pre_tokenizer, "pre_tokenizer", spec.where);
  if (type == "Sequence") {
    const Json& list = json_member(pre_tokenizer, "pretokenizers");
    if (list.is_array() && list.size() == 1) return read_byte_level(list[0], spec);
  }
  if (type != "ByteLevel" || !json_bool_or(pre_tokenizer, "use_regex", true, spec.where)) {
    unsupported_json_part("pre_tokenizer", type, "ByteLevel with its own pattern", spec.where);
  }
  spec.byte_pair.add_prefix_space = json_bool_or(pre_tokenizer, "add_prefix_space", true, spec.where);
}

MetaspacePrepend read_prepend(const Json& metaspace, const std::string& where) {
  const bool adds = json_bool_or(metaspace, "add_prefix_space", true, where);
  const std::string scheme = json_string_or(metaspace, "prepend_scheme", adds ? "always" : "never", where);
  if (scheme == "always") return MetaspacePrepend::kAlways;
  if (scheme == "first") return MetaspacePrepend::kFirst;
  if (scheme == "never") return MetaspacePrepend::kNever;
  unsupported_json_part("prepend_scheme", scheme, "always, first, never", where);
}

// `Metaspace`, `WhitespaceSplit` and then `Metaspace`, or nothing.
void read_unigram_pre_tokenizer(const Json& value, TokenizerSpec& spec) {
  constexpr const char* kSupported = "Metaspace, also behind WhitespaceSplit";
  if (value.is_null()) return;
  UnigramOptions& options = spec.unigram.options;
  const std::string type = json_type_of(value, "pre_tokenizer", spec.where);
  if (type == "Sequence") {
    const Json& list = json_member(value, "pretokenizers");
    if (!list.is_array()) bad_input(spec.where, "the pre_tokenizer's \"pretokenizers\" is not an array");
    for (const Json& item : list) read_unigram_pre_tokenizer(item, spec);
  } else if (type == "WhitespaceSplit" && !options.metaspace) {
    options.splits_at_white_space = true;
    return;
  } else if (type == "Metaspace" && !options.metaspace) {
    const std::string symbol = json_string_or(value, "replacement", std::string(kSpaceText), spec.where);
    if (symbol != kSpaceText) unsupported_json_part("replacement", symbol, "\u2581", spec.where);
    options.metaspace = true;
    options.prepend = read_prepend(value, spec.where);
    options.splits = json_bool_or(value, "split", true, spec.where);
  } else {
    unsupported_json_part("pre_tokenizer", type, kSupported, spec.where);
  }
  const bool fits = options.metaspace && options.prepend == MetaspacePrepend::kAlways && options.splits;
  if (options.splits_at_white_space && !fits) unsupported_json_part("pre_tokenizer", type, kSupported, spec.where);
}

void read_pre_tokenizer(const Json& value, TokenizerSpec& spec) {
  if (spec.kind == PieceModelKind::kUnigram) return read_unigram_pre_tokenizer(value, spec);
  if (spec.kind == PieceModelKind::kBytePair) return read_byte_level(value, spec);
  const std::string type = json_type_of(value, "pre_tokenizer", spec.where);
  if (type != "BertPreTokenizer") unsupported_json_part("pre_tokenizer", type, "BertPreTokenizer", spec.where);
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

void read_decoder(const Json& value, TokenizerSpec& spec) {
  spec.decoder = DecoderKind::kNone;
  if (value.is_null()) return;
  const std::string type = json_type_of(value, "decoder", spec.where);
  if (type == "ByteLevel") {
    spec.decoder = DecoderKind::kByteLevel;
    return;
  }
  if (type == "Metaspace") {
    spec.decoder = DecoderKind::kMetaspace;
    spec.decoder_drops_first_space = read_prepend(value, spec.where) != MetaspacePrepend::kNever;
    return;
  }
  if (type != "WordPiece") unsupported_json_part("decoder", type, "WordPiece, ByteLevel, Metaspace", spec.where);
  spec.decoder = DecoderKind::kWordPiece;
  spec.decoder_prefix = json_string_or(value, "prefix", "##", spec.where);
  spec.decoder_cleanup = json_bool_or(value, "cleanup", true, spec.where);
}

}  // namespace

std::string json_type_of(const Json& value, const char* part, const std::string& where) {
  if (!value.is_object()) bad_input(where, fmt::format("\"{}\" is not an object", part));
  return json_string(value, "type", where);
}

void unsupported_json_part(const char* part, const std::string& type, const char* supported, const std::string& where) {
  bad_input(where, fmt::format("{} \"{}\" is not supported", part, printable(type)),
            fmt::format("supported: {}", supported));
}

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

void set_unigram_defaults(TokenizerSpec& spec) {
  spec.kind = PieceModelKind::kUnigram;
  spec.decoder = DecoderKind::kMetaspace;
  spec.clean_up_spaces = false;
  spec.duplicates_allowed = true;
}

void name_special_tokens(TokenizerSpec& spec) {
  const auto has = [&](const char* name) {
    const auto same = [&](const AddedToken& token) { return token.content == name; };
    return std::ranges::any_of(spec.added, same) || std::ranges::find(spec.pieces, name) != spec.pieces.end();
  };
  const auto name = [&](std::string& token, const char* of_xlmr, const char* of_albert) {
    token = has(of_xlmr) ? of_xlmr : has(of_albert) ? of_albert : "";
  };
  name(spec.options.cls_token, "<s>", "[CLS]");
  name(spec.options.sep_token, "</s>", "[SEP]");
  name(spec.options.pad_token, "<pad>", "[PAD]");
  name(spec.options.mask_token, "<mask>", "[MASK]");
}

TokenizerSpec parse_tokenizer_json(std::string_view text, const std::string& where) {
  TokenizerSpec spec;
  spec.where = where;
  const ModelCut cut = cut_out_model(text);
  const Json root = parse_json(cut.rest, where);
  if (!root.is_object()) bad_input(where, "not a JSON object");
  read_model(json_object_member(root, "model", where), cut, spec);
  read_normalizer(json_member(root, "normalizer"), spec);
  read_pre_tokenizer(json_member(root, "pre_tokenizer"), spec);
  read_added_tokens(json_member(root, "added_tokens"), spec);
  if (spec.kind == PieceModelKind::kUnigram) {
    name_special_tokens(spec);
    for (const AddedToken& token : spec.added) {
      const auto id = static_cast<size_t>(token.id);
      if (token.special && id < spec.unigram.matches.size()) spec.unigram.matches[id] = false;
    }
  }
  read_post_processor(json_member(root, "post_processor"), spec);
  read_decoder(json_member(root, "decoder"), spec);
  const Json& truncation = json_member(root, "truncation");
  if (truncation.is_object()) spec.truncate_left = json_string_or(truncation, "direction", "Right", where) == "Left";
  return spec;
}

}  // namespace fettle
