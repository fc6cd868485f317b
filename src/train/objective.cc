#include "train/objective.h"

#include "data/tokenized.h"

namespace fettle {

Tensor view_i32(const std::vector<int32_t>& values) {
  return Tensor::view(DType::kI32, {static_cast<int64_t>(values.size())}, values.data(), nullptr);
}

void bind_tokens(const RaggedBatch& tokens, MicroBatch& batch) {
  batch.inputs.clear();
  batch.inputs.emplace_back("token_ids", view_i32(tokens.token_ids));
  batch.inputs.emplace_back("position_ids", view_i32(tokens.position_ids));
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
