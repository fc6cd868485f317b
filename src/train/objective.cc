#include "train/objective.h"

#include <algorithm>

#include "data/tokenized.h"

namespace fettle {

Tensor view_i32(const std::vector<int32_t>& values) {
  return Tensor::view(DType::kI32, {static_cast<int64_t>(values.size())}, values.data(), nullptr);
}

namespace {

Tensor position_ids_of(const RaggedBatch& tokens, const ModelConfig& config) {
  const auto first = static_cast<int32_t>(config.first_position());
  if (first == 0) return view_i32(tokens.position_ids);
  Tensor ids(DType::kI32, {tokens.n_tokens()});
  std::transform(tokens.position_ids.begin(), tokens.position_ids.end(), ids.mutable_data<int32_t>(),
                 [first](int32_t id) { return id + first; });
  return ids;
}

}  // namespace

EpochBatches::EpochBatches(std::vector<int32_t> lengths, const TrainOptions& options)
    : lengths_(std::move(lengths)), batch_size_(options.batch_size), seed_(options.seed) {}

int64_t EpochBatches::n_batches() const {
  return (static_cast<int64_t>(lengths_.size()) + batch_size_ - 1) / batch_size_;
}

void EpochBatches::begin_epoch(int64_t epoch) {
  plan_ = training_batches(lengths_, {.batch_size = batch_size_, .seed = seed_, .epoch = epoch});
}

void bind_tokens(const RaggedBatch& tokens, const ModelConfig& config, MicroBatch& batch) {
  batch.inputs.clear();
  batch.inputs.emplace_back("token_ids", view_i32(tokens.token_ids));
  batch.inputs.emplace_back("position_ids", position_ids_of(tokens, config));
  batch.inputs.emplace_back("type_ids", view_i32(tokens.type_ids));
  batch.inputs.emplace_back("offsets", view_i32(tokens.offsets));
  batch.inputs.emplace_back("first_tokens", Tensor::from_i32(first_tokens(tokens), {tokens.n_sequences()}));
  batch.n_samples = tokens.n_sequences();
  batch.n_tokens = tokens.n_tokens();
}

ModelConfig with_dropout(ModelConfig config, double dropout) {
  if (dropout < 0) return config;
  config.hidden_dropout = dropout;
  config.attention_dropout = dropout;
  config.classifier_dropout = dropout;
  return config;
}

}  // namespace fettle
