#include <fmt/format.h>

#include "text/tokenizer_spec.h"
#include "text/vocab_json.h"

namespace fettle {
namespace {

std::string name_of(const TokenizerSpec& spec, int32_t id) {
  const auto i = static_cast<size_t>(id);
  if (i < spec.pieces.size() && !spec.pieces[i].empty()) return spec.pieces[i];
  for (const AddedToken& token : spec.added) {
    if (token.id == id) return token.content;
  }
  return {};
}

// TemplateProcessing refers to its special items by name.
std::string label_of(const TokenizerSpec& spec, const TemplateItem& item) {
  const std::string name = item.ids.size() == 1 ? name_of(spec, item.ids[0]) : std::string();
  return name.empty() ? fmt::format("ids:{}", fmt::join(item.ids, ",")) : name;
}

Json template_json(const TokenizerSpec& spec, const std::vector<TemplateItem>& items, Json& specials) {
  Json out = Json::array();
  for (const TemplateItem& item : items) {
    if (item.kind != TemplateItem::Kind::kSpecial) {
      const char* id = item.kind == TemplateItem::Kind::kFirst ? "A" : "B";
      out.push_back({{"Sequence", {{"id", id}, {"type_id", item.type_id}}}});
      continue;
    }
    const std::string name = label_of(spec, item);
    Json tokens = Json::array();
    for (const int32_t id : item.ids) tokens.push_back(name_of(spec, id));
    specials[name] = Json{{"id", name}, {"ids", item.ids}, {"tokens", std::move(tokens)}};
    out.push_back({{"SpecialToken", {{"id", name}, {"type_id", item.type_id}}}});
  }
  return out;
}

Json added_token_json(const AddedToken& token, bool with_id) {
  Json out = Json::object();
  if (with_id) out["id"] = token.id;
  out["content"] = token.content;
  out["single_word"] = token.single_word;
  out["lstrip"] = token.lstrip;
  out["rstrip"] = token.rstrip;
  out["normalized"] = token.normalized;
  out["special"] = token.special;
  return out;
}

std::string tokenizer_class(const TokenizerSpec& spec) {
  if (spec.kind == PieceModelKind::kWordPiece) return "BertTokenizer";
  if (spec.kind == PieceModelKind::kUnigram) return spec.sentencepiece_class;
  return spec.single.size() > 1 ? "RobertaTokenizer" : "GPT2Tokenizer";
}

Json strip_accents_json(const WordPieceOptions& options) {
  return options.strip_accents ? Json(*options.strip_accents) : Json(nullptr);
}

void add_token_names(const TokenizerSpec& spec, Json& out) {
  const auto add = [&](const char* key, const std::string& name) {
    for (const AddedToken& token : spec.added) {
      if (token.content == name) out[key] = name;
    }
  };
  add("cls_token", spec.options.cls_token);
  add("mask_token", spec.options.mask_token);
  add("pad_token", spec.options.pad_token);
  add("sep_token", spec.options.sep_token);
  add("unk_token", spec.options.unk_token);
}

Json normalizer_json(const TokenizerSpec& spec) {
  if (spec.kind == PieceModelKind::kBytePair) return nullptr;
  return {{"type", "BertNormalizer"},
          {"clean_text", spec.options.clean_text},
          {"handle_chinese_chars", spec.options.split_chinese},
          {"strip_accents", strip_accents_json(spec.options)},
          {"lowercase", spec.options.lowercase}};
}

Json byte_level_json(bool add_prefix_space, bool trim_offsets) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", trim_offsets},
          {"use_regex", true}};
}

Json pre_tokenizer_json(const TokenizerSpec& spec) {
  if (spec.kind == PieceModelKind::kBytePair) return byte_level_json(spec.byte_pair.add_prefix_space, true);
  return {{"type", "BertPreTokenizer"}};
}

Json template_processing_json(const TokenizerSpec& spec) {
  Json specials = Json::object();
  Json single = template_json(spec, spec.single, specials);
  Json pair = template_json(spec, spec.pair, specials);
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(specials)}};
}

Json post_processor_json(const TokenizerSpec& spec) {
  Json specials = template_processing_json(spec);
  if (!spec.trimming.on) return specials;
  Json trimming = byte_level_json(spec.trimming.add_prefix_space, true);
  if (specials["special_tokens"].empty()) return trimming;
  return {{"type", "Sequence"}, {"processors", Json::array({std::move(trimming), std::move(specials)})}};
}

Json decoder_json(const TokenizerSpec& spec) {
  switch (spec.decoder) {
    case DecoderKind::kNone:
      break;
    case DecoderKind::kWordPiece:
      return {{"type", "WordPiece"}, {"prefix", spec.decoder_prefix}, {"cleanup", spec.decoder_cleanup}};
    case DecoderKind::kByteLevel:
      return byte_level_json(true, true);
    case DecoderKind::kMetaspace:
      break;  // Unigram models keep the files that they come from
  }
  return nullptr;
}

Json model_json(const TokenizerSpec& spec) {
  const WordPieceOptions& options = spec.options;
  if (spec.kind == PieceModelKind::kBytePair) {
    return {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", spec.byte_pair.has_unk ? Json(options.unk_token) : Json(nullptr)},
            {"continuing_subword_prefix", ""},
            {"end_of_word_suffix", ""},
            {"fuse_unk", spec.byte_pair.fuse_unk},
            {"byte_fallback", false},
            {"ignore_merges", spec.byte_pair.ignore_merges}};
  }
  return {{"type", "WordPiece"},
          {"unk_token", options.unk_token},
          {"continuing_subword_prefix", options.continuing_prefix},
          {"max_input_chars_per_word", options.max_input_chars_per_word}};
}

}  // namespace

std::string make_tokenizer_json(const TokenizerSpec& spec) {
  Json root;
  root["version"] = "1.0";
  root["truncation"] = nullptr;
  root["padding"] = nullptr;
  root["added_tokens"] = Json::array();
  for (const AddedToken& token : spec.added) root["added_tokens"].push_back(added_token_json(token, true));
  root["normalizer"] = normalizer_json(spec);
  root["pre_tokenizer"] = pre_tokenizer_json(spec);
  root["post_processor"] = post_processor_json(spec);
  root["decoder"] = decoder_json(spec);
  root["model"] = model_json(spec);
  std::string text = root.dump(2);
  // The model is the last member: its lists go before its closing brace and that of the whole.
  text.erase(text.rfind("\n  }\n}"));
  text += ",\n    \"vocab\": " + format_vocab_object(spec.pieces);
  if (spec.kind == PieceModelKind::kBytePair) text += ",\n    \"merges\": " + format_merges_array(spec.merges);
  return text + "\n  }\n}\n";
}

std::string make_vocab_txt(const TokenizerSpec& spec) {
  std::string out;
  for (const std::string& piece : spec.pieces) {
    // A line cannot hold these; the id stays, and no word contains them anyway.
    if (piece.find_first_of("\n\r") == piece.npos) out += piece;
    out += '\n';
  }
  return out;
}

std::string make_vocab_json(const TokenizerSpec& spec) {
  std::string text = "{";
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    if (spec.pieces[id].empty()) continue;
    text += text.size() > 1 ? "," : "";
    text += Json(spec.pieces[id]).dump() + ":" + std::to_string(id);
  }
  return text + "}";
}

std::string make_merges_txt(const TokenizerSpec& spec) {
  std::string out = "#version: 0.2\n";
  for (const MergeRule& merge : spec.merges) out += merge.left + " " + merge.right + "\n";
  return out;
}

Json make_tokenizer_config(const TokenizerSpec& spec) {
  const WordPieceOptions& options = spec.options;
  Json decoder = Json::object();
  for (const AddedToken& token : spec.added) decoder[fmt::format("{}", token.id)] = added_token_json(token, false);
  Json out = {{"added_tokens_decoder", std::move(decoder)}, {"clean_up_tokenization_spaces", spec.clean_up_spaces}};
  if (options.model_max_length) out["model_max_length"] = *options.model_max_length;
  if (spec.kind == PieceModelKind::kWordPiece) {
    out["do_lower_case"] = options.lowercase;
    out["strip_accents"] = strip_accents_json(options);
    out["tokenize_chinese_chars"] = options.split_chinese;
  } else if (spec.kind == PieceModelKind::kBytePair) {
    out["add_prefix_space"] = spec.byte_pair.add_prefix_space;
  }
  out["tokenizer_class"] = tokenizer_class(spec);
  if (spec.truncate_left) out["truncation_side"] = "left";
  add_token_names(spec, out);
  return out;
}

Json make_special_tokens_map(const TokenizerSpec& spec) {
  Json out = Json::object();
  add_token_names(spec, out);
  return out;
}

}  // namespace fettle
