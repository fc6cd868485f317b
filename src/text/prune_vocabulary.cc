// A tokenizer with fewer pieces that cuts what matters as before.
//
// WordPiece takes the longest piece at each place; byte-pair encoding applies the first merge of its list that fits;
// Unigram takes the best sum of scores. Each chooses among what is there, so without some of what was not chosen the
// choice is the same: what must stay is all that is chosen on the way, also where a word comes out as unknown, and what
// the pieces that come out are merged of.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "text/tokenizer_impl.h"
#include "text/unicode.h"
#include "text/vocab_json.h"

namespace fettle {
namespace {

constexpr const char* kVocabMark = "fettle:vocab";
constexpr const char* kMergesMark = "fettle:merges";

bool is_one_char(std::string_view piece) {
  return !piece.empty() && unicode::count_chars(piece) == 1;
}

// What is tried on the way through a word: also of words that come out as unknown.
void mark_wordpiece(const PieceModel& model, const std::string& prefix, std::string_view text,
                    std::vector<bool>& needed) {
  const NormalizedText normalized = model.normalize(text, 0);
  for (const auto& [begin, end] : pre_tokenize(normalized)) {
    for (size_t at = begin; at < end;) {
      size_t to = end;
      for (; to > at; --to) {
        const auto id = model.find((at > begin ? prefix : "") + to_utf8(normalized, at, to));
        if (!id) continue;
        needed[static_cast<size_t>(*id)] = true;
        break;
      }
      if (to == at) break;
      at = to;
    }
  }
}

// Byte-pair encoding of pieces one by one: where a piece came out of a word, the merges within it were those that it
// gets alone.
class MergeTrace {
 public:
  explicit MergeTrace(const std::vector<MergeRule>& merges) {
    for (size_t i = 0; i < merges.size(); ++i) ranks_.emplace(merges[i].left + ' ' + merges[i].right, i);
  }

  // Calls visit(piece) for every piece on the way.
  template <typename Visit>
  void run(std::string_view piece, Visit visit) const {
    std::vector<std::string> parts;
    for (size_t at = 0; at < piece.size();) {
      size_t end = at + 1;
      while (end < piece.size() && (static_cast<unsigned char>(piece[end]) & 0xC0) == 0x80) ++end;
      parts.emplace_back(piece.substr(at, end - at));
      at = end;
    }
    for (const std::string& part : parts) visit(part);
    while (const auto best = first_merge(parts)) {
      parts[*best] += parts[*best + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(*best) + 1);
      visit(parts[*best]);
    }
  }

 private:
  std::optional<size_t> first_merge(const std::vector<std::string>& parts) const {
    std::optional<size_t> best;
    size_t best_rank = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks_.find(parts[i] + ' ' + parts[i + 1]);
      if (found == ranks_.end() || (best && found->second >= best_rank)) continue;
      best = i;
      best_rank = found->second;
    }
    return best;
  }

  std::unordered_map<std::string, size_t> ranks_;
};

// New ids by old ones, -1 for what goes.
std::vector<int32_t> renumbered(const std::vector<bool>& keep) {
  std::vector<int32_t> ids;
  int32_t next = 0;
  for (const bool kept : keep) ids.push_back(kept ? next++ : -1);
  return ids;
}

// The contents of a tokenizer.json with other ids.
class JsonEditor {
 public:
  JsonEditor(const TokenizerSpec& spec, std::vector<int32_t> ids) : spec_(spec), ids_(std::move(ids)) {}

  std::string edit(std::string_view text) const {
    const ModelCut cut = cut_out_model(text);
    Json root = parse_json(cut.rest, spec_.where);
    Json& model = root["model"];
    model["vocab"] = kVocabMark;
    if (spec_.kind == PieceModelKind::kBytePair) model["merges"] = kMergesMark;
    if (spec_.kind == PieceModelKind::kUnigram) change(model["unk_id"]);
    for (Json& token : root["added_tokens"]) change(token["id"]);
    if (root.contains("padding") && root["padding"].is_object()) change(root["padding"]["pad_id"]);
    if (root.contains("post_processor")) change_processor(root["post_processor"]);
    std::string edited = root.dump(2) + "\n";
    put(edited, kVocabMark, spec_.kind == PieceModelKind::kUnigram ? scored(cut.vocab) : format_vocab_object(pieces()));
    if (spec_.kind == PieceModelKind::kBytePair) put(edited, kMergesMark, format_merges_array(merges()));
    return edited;
  }

  // tokenizer_config.json's, by id.
  std::string edit_config(const std::string& text) const {
    if (text.empty()) return text;
    Json config = parse_json(text, "tokenizer_config.json");
    if (!config.contains("added_tokens_decoder") || !config["added_tokens_decoder"].is_object()) return text;
    Json decoder = Json::object();
    for (const auto& [key, token] : config["added_tokens_decoder"].items()) {
      const size_t old = key.size() < 9 && std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; })
                             ? std::stoul("0" + key)
                             : ids_.size();
      if (old < ids_.size() && ids_[old] >= 0) decoder[std::to_string(ids_[old])] = token;
    }
    config["added_tokens_decoder"] = std::move(decoder);
    return config.dump(2) + "\n";
  }

 private:
  void change(Json& id) const {
    if (!id.is_number_integer()) return;
    const auto old = id.get<int64_t>();
    if (old >= 0 && old < std::ssize(ids_)) id = ids_[static_cast<size_t>(old)];
  }

  void change_processor(Json& processor) const {
    if (!processor.is_object()) return;
    if (processor.contains("processors") && processor["processors"].is_array()) {
      for (Json& part : processor["processors"]) change_processor(part);
    }
    for (const char* key : {"cls", "sep"}) {
      if (processor.contains(key) && processor[key].is_array() && processor[key].size() == 2) change(processor[key][1]);
    }
    if (!processor.contains("special_tokens") || !processor["special_tokens"].is_object()) return;
    for (auto& [name, token] : processor["special_tokens"].items()) {
      if (!token.contains("ids") || !token["ids"].is_array()) continue;
      for (Json& id : token["ids"]) change(id);
    }
  }

  std::vector<std::string> pieces() const {
    std::vector<std::string> kept(static_cast<size_t>(std::ranges::count_if(ids_, [](int32_t id) { return id >= 0; })));
    for (size_t old = 0; old < spec_.pieces.size(); ++old) {
      if (ids_[old] >= 0) kept[static_cast<size_t>(ids_[old])] = spec_.pieces[old];
    }
    // Added tokens may lie behind the model's own.
    while (!kept.empty() && kept.back().empty()) kept.pop_back();
    return kept;
  }

  std::vector<MergeRule> merges() const {
    std::unordered_map<std::string_view, bool> is_kept;
    for (size_t old = 0; old < spec_.pieces.size(); ++old) is_kept[spec_.pieces[old]] = ids_[old] >= 0;
    const auto kept = [&](const std::string& piece) {
      const auto found = is_kept.find(piece);
      return found != is_kept.end() && found->second;
    };
    std::vector<MergeRule> rules;
    for (const MergeRule& rule : spec_.merges) {
      if (kept(rule.left) && kept(rule.right) && kept(rule.left + rule.right)) rules.push_back(rule);
    }
    return rules;
  }

  std::string scored(std::string_view vocab) const {
    std::string list;
    const std::vector<ScoredPiece> all = parse_scored_pieces(vocab, spec_.where);
    for (size_t old = 0; old < all.size(); ++old) {
      if (ids_[old] < 0) continue;
      list += (list.empty() ? "[\n      " : ",\n      ") + Json::array({all[old].text, all[old].score}).dump();
    }
    return list + "\n    ]";
  }

  static void put(std::string& text, const char* mark, const std::string& value) {
    const std::string quoted = fmt::format("\"{}\"", mark);
    text.replace(text.rfind(quoted), quoted.size(), value);
  }

  const TokenizerSpec& spec_;
  std::vector<int32_t> ids_;
};

std::string json_of(const TokenizerSpec& spec) {
  if (!spec.tokenizer_json.empty()) return spec.tokenizer_json;
  for (const KeptFile& kept : spec.kept) {
    if (kept.name != "tokenizer.json") continue;
    const std::span<const std::byte> bytes = kept.file->bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  if (spec.kind == PieceModelKind::kUnigram) {
    bad_input(spec.where, "a SentencePiece file cannot be pruned", "a tokenizer.json of the same tokenizer can");
  }
  return make_tokenizer_json(spec);
}

}  // namespace

std::vector<bool> Tokenizer::needed_pieces(std::span<const std::string> texts) const {
  const Impl& impl = *impl_;
  std::vector<bool> needed(static_cast<size_t>(vocab_size()), false);
  const auto mark = [&](int32_t id) { needed[static_cast<size_t>(id)] = true; };
  const auto mark_piece = [&](std::string_view piece) {
    if (const auto id = impl.model->find(piece)) mark(*id);
  };
  std::vector<int32_t> ids;
  for (const std::string& text : texts) {
    ids.clear();
    // Special tokens inside texts are looked for in both ways.
    for (const bool split_special : {true, false}) encode(text, {.split_special_tokens = split_special}, ids);
    std::ranges::for_each(ids, mark);
    if (impl.spec.kind == PieceModelKind::kWordPiece && std::ranges::count(ids, unk_id()) > 0) {
      mark_wordpiece(*impl.model, impl.spec.options.continuing_prefix, text, needed);
    }
  }
  TokenizerSpec spec = impl.spec;
  impl.model->give_back(spec);
  if (spec.kind == PieceModelKind::kBytePair) {
    const MergeTrace trace(spec.merges);
    const std::vector<bool> come_out = needed;
    for (size_t id = 0; id < spec.pieces.size(); ++id) {
      if (come_out[id]) trace.run(spec.pieces[id], mark_piece);
    }
  }
  const std::string& prefix = spec.options.continuing_prefix;
  const bool has_prefix = spec.kind == PieceModelKind::kWordPiece && !prefix.empty();
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    const std::string_view piece = spec.pieces[id];
    const bool continues = has_prefix && piece.starts_with(prefix) && is_one_char(piece.substr(prefix.size()));
    if (is_one_char(piece) || continues) needed[id] = true;
  }
  if (spec.kind == PieceModelKind::kUnigram) {
    // The penalty of unknown characters hangs on the lowest score; bytes and control pieces are not cut out of text.
    const std::vector<double>& scores = spec.unigram.scores;
    if (!scores.empty()) needed[static_cast<size_t>(std::ranges::min_element(scores) - scores.begin())] = true;
    for (size_t id = 0; id < spec.unigram.matches.size(); ++id) {
      const bool is_byte = spec.pieces[id].size() == 6 && spec.pieces[id].starts_with("<0x");
      if (!spec.unigram.matches[id] || (spec.unigram.options.byte_fallback && is_byte)) needed[id] = true;
    }
  }
  if (unk_id() >= 0) mark(unk_id());
  for (const std::optional<int32_t>& id : {pad_id(), cls_id(), sep_id(), mask_id()}) {
    if (id) mark(*id);
  }
  for (const AddedToken& token : spec.added) mark(token.id);
  return needed;
}

std::shared_ptr<const Tokenizer> Tokenizer::with_pieces(const std::vector<bool>& keep) const {
  if (std::ssize(keep) != vocab_size()) usage_error("vocabulary", "is not that of the tokenizer");
  TokenizerSpec spec = impl_->spec;
  impl_->model->give_back(spec);
  std::vector<bool> kept = keep;
  for (const AddedToken& token : spec.added) kept[static_cast<size_t>(token.id)] = true;
  for (size_t id = 0; id < kept.size(); ++id) kept[id] = kept[id] && !piece(static_cast<int32_t>(id)).empty();
  const JsonEditor editor(spec, renumbered(kept));
  std::string json = editor.edit(json_of(spec));
  TokenizerSpec pruned = parse_tokenizer_json(json, spec.where);
  pruned.tokenizer_json = std::move(json);
  // What other files say.
  pruned.tokenizer_config = editor.edit_config(spec.tokenizer_config);
  pruned.special_tokens_map = spec.special_tokens_map;
  pruned.options = spec.options;
  pruned.clean_up_spaces = spec.clean_up_spaces;
  pruned.truncate_left = spec.truncate_left;
  pruned.sentencepiece_class = spec.sentencepiece_class;
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::make_unique<const Impl>(std::move(pruned))));
}

}  // namespace fettle
