#include "compress/prune/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string_view>

#include "base/error.h"
#include "model/config_keys.h"

namespace fettle {
namespace {

constexpr std::string_view kIdSuffix = "_token_id";

// Rows of a tensor whose first dimension is that of the words.
Tensor rows_of(const Tensor& tensor, const std::vector<int64_t>& rows) {
  Shape shape = tensor.shape();
  const int64_t n_before = shape[0];
  shape[0] = std::ssize(rows);
  Tensor kept(tensor.dtype(), shape);
  const auto row_bytes = static_cast<size_t>(tensor.size_bytes() / std::max<int64_t>(1, n_before));
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(static_cast<char*>(kept.raw_mutable()) + i * row_bytes,
                static_cast<const char*>(tensor.raw()) + static_cast<size_t>(rows[i]) * row_bytes, row_bytes);
  }
  return kept;
}

EncodedTensor rows_of(const EncodedTensor& value, const std::vector<int64_t>& rows) {
  const EncodingKind kind = value.encoding.kind;
  if (kind != EncodingKind::kDense && kind != EncodingKind::kIntChannel && kind != EncodingKind::kIntGroup) {
    return encode(rows_of(value.decode(), rows), value.encoding);
  }
  EncodedTensor kept = value;
  kept.shape[0] = std::ssize(rows);
  kept.data = rows_of(value.data, rows);
  if (value.scales.defined() && !value.encoding.per_tensor) kept.scales = rows_of(value.scales, rows);
  if (value.zeros.defined()) kept.zeros = rows_of(value.zeros, rows);
  return kept;
}

std::vector<bool> pieces_to_keep(const Tokenizer& tokenizer, std::span<const std::string> texts,
                                 const VocabularyOptions& options, VocabularyReport& report) {
  std::vector<bool> keep = tokenizer.needed_pieces(texts);
  report.n_needed = std::ranges::count(keep, true);
  int64_t room = report.n_needed;
  if (options.keep_words > 0) room = options.keep_words;
  if (options.target > 0) room = static_cast<int64_t>((1 - options.target) * static_cast<double>(report.n_before));
  if (room < report.n_needed) {
    usage_error(
        options.keep_words > 0 ? "--keep-words" : "--target",
        fmt::format("leaves room for {} pieces, but the texts and single characters need {}", room, report.n_needed),
        fmt::format("at most {:.1f}% can go", 100.0 * static_cast<double>(report.n_before - report.n_needed) /
                                                  static_cast<double>(report.n_before)));
  }
  room -= report.n_needed;
  for (size_t id = 0; id < keep.size() && room > 0; ++id) {
    if (keep[id] || tokenizer.piece(static_cast<int32_t>(id)).empty()) continue;
    keep[id] = true;
    --room;
  }
  return keep;
}

// "pad_token_id", "bos_token_id" and so on.
void renumber_ids(ModelConfig& config, const std::vector<int32_t>& ids, const std::string& where) {
  const auto renumbered = [&](int64_t id) {
    return id >= 0 && id < std::ssize(ids) ? static_cast<int64_t>(ids[static_cast<size_t>(id)]) : -1;
  };
  const int64_t pad = renumbered(config.pad_token_id);
  if (architecture_keys(config.architecture).positions_follow_padding && pad != config.pad_token_id) {
    bad_input(where, "the padding's id would change, which positions are counted from", "pieces before it must stay");
  }
  config.pad_token_id = std::max<int64_t>(0, pad);
  for (auto& [key, value] : config.other.items()) {
    if (!std::string_view(key).ends_with(kIdSuffix) || !value.is_number_integer()) continue;
    const int64_t id = renumbered(value.get<int64_t>());
    value = id >= 0 ? Json(id) : Json(nullptr);
  }
}

void check_same_pieces(const Tokenizer& before, const Tokenizer& after, const std::vector<int32_t>& ids,
                       std::span<const std::string> texts) {
  std::vector<int32_t> old_ids;
  std::vector<int32_t> new_ids;
  for (const std::string& text : texts) {
    old_ids.clear();
    new_ids.clear();
    before.encode(text, 0, old_ids);
    after.encode(text, 0, new_ids);
    for (int32_t& id : old_ids) id = ids[static_cast<size_t>(id)];
    if (old_ids != new_ids) failed("vocabulary", "a text is cut into other pieces than before");
  }
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at < text.size();) {
    while (at < text.size() && is_space(text[at])) ++at;
    size_t end = at;
    while (end < text.size() && !is_space(text[end])) ++end;
    if (end > at) words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

struct Cut {
  int64_t n_pieces = 0;
  int64_t n_unknown = 0;
};

Cut cut(const Tokenizer& tokenizer, std::string_view word) {
  std::vector<int32_t> ids;
  tokenizer.encode(word, {.add_special_tokens = false}, ids);
  return {.n_pieces = std::ssize(ids), .n_unknown = std::ranges::count(ids, tokenizer.unk_id())};
}

}  // namespace

VocabularyReport prune_vocabulary(Model& model, std::span<const std::string> texts, const VocabularyOptions& options) {
  if (model.tokenizer == nullptr) bad_input("vocabulary", "the model has no tokenizer");
  if (texts.empty()) usage_error("vocabulary", "there are no texts that say which pieces are needed");
  const std::shared_ptr<const Tokenizer> before = model.tokenizer;
  VocabularyReport report{.n_before = model.config.vocab_size};
  const std::vector<bool> keep = pieces_to_keep(*before, texts, options, report);
  const std::shared_ptr<const Tokenizer> after = before->with_pieces(keep);

  std::vector<int64_t> rows;
  std::vector<int32_t> ids(keep.size(), -1);
  for (size_t id = 0; id < keep.size(); ++id) {
    const std::string_view piece = before->piece(static_cast<int32_t>(id));
    const std::optional<int32_t> found = piece.empty() ? std::nullopt : after->find(piece);
    if (!found || *found != std::ssize(rows)) continue;
    ids[id] = *found;
    rows.push_back(static_cast<int64_t>(id));
  }
  if (std::ssize(rows) != after->vocab_size()) failed("vocabulary", "was not numbered as it was asked to");
  check_same_pieces(*before, *after, ids, texts);

  ModelConfig config = model.config;
  config.vocab_size = report.n_after = std::ssize(rows);
  renumber_ids(config, ids, "vocabulary");
  const ArchitectureKeys& keys = architecture_keys(config.architecture);
  const std::string table = std::string(keys.parameter_prefix) + "embeddings.word_embeddings.weight";
  for (const std::string& name : {table, std::string(keys.lm_head_bias)}) {
    if (model.parameters.has(name)) model.parameters.set(name, rows_of(model.parameters.get(name), rows));
  }
  // A factored table may have become shorter than its rank.
  const auto rank = config.ranks.find(table.substr(0, table.size() - std::string_view(".weight").size()));
  if (rank != config.ranks.end() && rank->second > config.vocab_size) {
    usage_error("vocabulary",
                fmt::format("{} pieces are fewer than the word table's rank {}", config.vocab_size, rank->second),
                "--keep-words");
  }
  model.config = std::move(config);
  model.tokenizer = after;
  return report;
}

VocabularyEffect compare_vocabularies(const Tokenizer& before, const Tokenizer& after,
                                      std::span<const std::string> texts) {
  std::map<std::string, int64_t, std::less<>> counts;
  VocabularyEffect effect;
  for (const std::string& text : texts) {
    for (const std::string_view word : words_of(text)) {
      ++effect.n_words;
      const auto found = counts.find(word);
      if (found == counts.end()) {
        counts.emplace(word, 1);
      } else {
        ++found->second;
      }
    }
  }
  for (const auto& [word, count] : counts) {
    const Cut old_cut = cut(before, word);
    const Cut new_cut = cut(after, word);
    effect.n_tokens_before += count * old_cut.n_pieces;
    effect.n_tokens_after += count * new_cut.n_pieces;
    const bool is_unknown = new_cut.n_unknown > old_cut.n_unknown;
    if (!is_unknown && new_cut.n_pieces <= old_cut.n_pieces) continue;
    (is_unknown ? effect.n_unknown : effect.n_split) += count;
    effect.changed.push_back({word, count, old_cut.n_pieces, new_cut.n_pieces, is_unknown});
  }
  std::ranges::stable_sort(effect.changed, std::ranges::greater(), &WordChange::count);
  return effect;
}

}  // namespace fettle
