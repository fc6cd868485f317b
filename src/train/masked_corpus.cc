#include "train/masked_corpus.h"

#include <algorithm>

#include "base/cancel.h"
#include "base/error.h"
#include "base/philox.h"

namespace fettle {
namespace {

constexpr uint64_t kMaskStream = 0x4d41534bull << 20;
constexpr uint64_t kPackStream = 0x5041434bull << 20;
constexpr int64_t kShortestTarget = 8;
constexpr double kTwo32 = 4294967296.0;

int32_t require_id(std::optional<int32_t> id, const char* piece) {
  if (!id) bad_input("tokenizer", std::string("has no ") + piece + " token", "masked-language modelling needs one");
  return *id;
}

}  // namespace

MaskedCorpus::MaskedCorpus(std::span<const std::string> texts, const Tokenizer& tokenizer,
                           const MaskingOptions& options)
    : options_(options),
      cls_(require_id(tokenizer.cls_id(), "[CLS]")),
      sep_(require_id(tokenizer.sep_id(), "[SEP]")),
      mask_(require_id(tokenizer.mask_id(), "[MASK]")) {
  const int longest = static_cast<int>(options.max_length - 2);
  const EncodeOptions encode{.max_length = longest, .add_special_tokens = false};
  for (size_t i = 0; i < texts.size(); ++i) {
    if (i % 4096 == 0) throw_if_cancelled();
    const int64_t before = n_tokens();
    tokenizer.encode(texts[i], encode, ids_);
    if (n_tokens() > before) {
      offsets_.push_back(n_tokens());
      ends_document_.push_back(false);
    } else if (!ends_document_.empty()) {
      ends_document_.back() = true;
    }
  }
  if (ids_.empty()) bad_input("training texts", "hold no tokens");
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.is_special(id) && !tokenizer.piece(id).empty()) replacements_.push_back(id);
  }
  if (replacements_.empty()) bad_input("tokenizer", "has special tokens only");
}

void MaskedCorpus::pack(int64_t epoch) {
  if (packed_epoch_ == epoch) return;
  packed_epoch_ = epoch;
  sequences_.clear();
  Philox random(options_.seed, kPackStream + static_cast<uint64_t>(epoch));
  const int64_t n = static_cast<int64_t>(offsets_.size()) - 1;
  for (int64_t first = 0; first < n;) {
    int64_t target = options_.max_length;
    if (options_.join_texts && random.uniform_double() < options_.short_sequence_ratio) {
      const int64_t shortest = std::min(kShortestTarget, options_.max_length);
      target = shortest + static_cast<int64_t>(random.below(static_cast<uint64_t>(options_.max_length - shortest + 1)));
    }
    int64_t length = 2 + text_length(first);
    int64_t last = first + 1;
    while (options_.join_texts && last < n && !ends_document_[last - 1] && length + 1 + text_length(last) <= target) {
      length += 1 + text_length(last++);
    }
    sequences_.push_back({first, last, static_cast<int32_t>(length)});
    first = last;
  }
  std::vector<int32_t> lengths;
  lengths.reserve(sequences_.size());
  for (const Sequence& sequence : sequences_) lengths.push_back(sequence.length);
  plan_ = training_batches(lengths, {.token_budget = options_.token_budget, .seed = options_.seed, .epoch = epoch});
}

int64_t MaskedCorpus::n_batches(int64_t epoch) {
  pack(epoch);
  return plan_.n_batches();
}

void MaskedCorpus::append_token(int64_t place, int64_t epoch, MaskedBatch& batch) const {
  const int32_t id = ids_[place];
  const auto words =
      philox4x32(options_.seed, kMaskStream + static_cast<uint64_t>(epoch), static_cast<uint64_t>(place));
  int32_t seen = id;
  if (words[0] < options_.probability * kTwo32) {
    batch.masked_positions.push_back(static_cast<int32_t>(batch.tokens.token_ids.size()));
    batch.masked_labels.push_back(id);
    if (words[1] < 0.8 * kTwo32) {
      seen = mask_;
    } else if (words[1] < 0.9 * kTwo32) {
      seen = replacements_[words[2] % replacements_.size()];
    }
  }
  batch.tokens.token_ids.push_back(seen);
}

void MaskedCorpus::append(const Sequence& sequence, int64_t epoch, MaskedBatch& batch) const {
  RaggedBatch& tokens = batch.tokens;
  tokens.token_ids.push_back(cls_);
  for (int64_t text = sequence.first_text; text < sequence.last_text; ++text) {
    for (int64_t place = offsets_[text]; place < offsets_[text + 1]; ++place) append_token(place, epoch, batch);
    tokens.token_ids.push_back(sep_);
  }
  for (int32_t i = 0; i < sequence.length; ++i) tokens.position_ids.push_back(i);
  tokens.type_ids.resize(tokens.token_ids.size(), 0);
  tokens.offsets.push_back(static_cast<int32_t>(tokens.token_ids.size()));
}

void MaskedCorpus::load(int64_t epoch, int64_t index, MaskedBatch& batch) {
  pack(epoch);
  batch.tokens.clear();
  batch.masked_positions.clear();
  batch.masked_labels.clear();
  for (int32_t i : plan_.batch(index)) append(sequences_[i], epoch, batch);
  if (!batch.masked_positions.empty()) return;
  // A batch of few tokens may have none chosen; the loss needs one. Row 1 follows [CLS].
  batch.masked_positions.push_back(1);
  batch.masked_labels.push_back(batch.tokens.token_ids[1]);
  batch.tokens.token_ids[1] = mask_;
}

}  // namespace fettle
