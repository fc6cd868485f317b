// What a sentence-transformers folder does with the hidden states of its encoder: pooling, dense layers, normalization.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tensor/encoding.h"

namespace fettle {

enum class Pooling : uint8_t { kCls, kMax, kMean, kMeanSqrtLength };

// "cls", "mean", "max" or "mean_sqrt_len". kUsage for anything else.
Pooling parse_pooling(std::string_view name);

// One step behind the pooling. Without a weight it makes the embedding as long as 1.
struct SentenceStep {
  EncodedTensor weight;  // [out, in]; undefined data: normalization
  EncodedTensor bias;    // [out]; undefined data: none
  std::string activation = "none";

  bool is_dense() const { return weight.data.defined(); }
};

struct SentencePipeline {
  std::vector<Pooling> pooling = {Pooling::kMean};  // one behind the other in the embedding
  std::vector<SentenceStep> steps;
  std::optional<int64_t> max_length;  // of texts in tokens, from sentence_bert_config.json
  bool lowercase = false;             // of texts before the tokenizer, from there too

  bool normalizes() const { return !steps.empty() && !steps.back().is_dense(); }
  // Width of the embedding; kBadInput when a dense layer does not fit what comes before it.
  int64_t width(int64_t hidden_size) const;
};

// Where the encoder's files are: the folder itself but for old sentence-transformers folders ("0_Transformer").
std::filesystem::path encoder_folder(const std::filesystem::path& folder);
// From modules.json and what it names; nullopt when there is none. kBadInput naming the file for modules that are not
// Transformer, Pooling, Dense and Normalize in this order, and for sizes that do not fit `hidden_size`.
std::optional<SentencePipeline> read_sentence_pipeline(const std::filesystem::path& folder, int64_t hidden_size);
void write_sentence_pipeline(const std::filesystem::path& folder, const SentencePipeline& pipeline,
                             int64_t hidden_size);

}  // namespace fettle
