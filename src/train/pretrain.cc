// Masked-language-model pre-training (Devlin et al. 2019, without next-sentence prediction).
#include "train/pretrain.h"

#include <algorithm>

#include "base/error.h"
#include "model/initialize.h"
#include "train/digest.h"
#include "train/loop.h"

namespace fettle {

PretrainObjective::PretrainObjective(const ModelConfig& config, const std::vector<std::string>& texts,
                                     const Tokenizer& tokenizer, const MaskingOptions& masking)
    : config_(config), corpus_(texts, tokenizer, masking) {
  Digest digest;
  for (const std::string& text : texts) digest.add(text);
  digest_ = digest.hex();
}

Graph PretrainObjective::build_loss_graph() const {
  Graph graph = build_graph(config_, kMaskedLmTraining);
  const ValueId labels = graph.add_input("masked_labels", {DType::kI32, {graph.symbol("masked")}});
  const std::vector<ValueId> outputs =
      graph.add_nodes("softmax_cross_entropy", {graph.find("logits"), labels}, {}, "loss");
  graph.add_output("loss", outputs[0]);
  return graph;
}

int64_t PretrainObjective::n_batches(int64_t epoch) {
  const auto known = batches_.find(epoch);
  if (known != batches_.end()) return known->second;
  return batches_[epoch] = corpus_.n_batches(epoch);
}

void PretrainObjective::load(int64_t index, MicroBatch& batch) {
  corpus_.load(epoch_, index, masked_);
  bind_tokens(masked_.tokens, config_, batch);
  batch.inputs.emplace_back("masked_positions", view_i32(masked_.masked_positions));
  batch.inputs.emplace_back("masked_labels", view_i32(masked_.masked_labels));
  batch.weight = static_cast<double>(masked_.masked_labels.size());
}

HitCount PretrainObjective::observe(const Executor& executor) {
  const Tensor logits = executor.output("logits");
  const int64_t width = logits.dim(1);
  HitCount count;
  for (int64_t r = 0; r < logits.dim(0); ++r) {
    const float* row = logits.data<float>() + r * width;
    if (std::max_element(row, row + width) - row == masked_.masked_labels[r]) ++count.hits;
  }
  count.trials = static_cast<double>(logits.dim(0));
  return count;
}

MaskingOptions masking_of(const TrainOptions& options, int64_t max_length) {
  return {.probability = options.mask_probability,
          .max_length = max_length,
          .token_budget = options.batch_size * max_length,
          .join_texts = options.join_texts,
          .short_sequence_ratio = options.short_sequence_ratio,
          .seed = options.seed};
}

void add_missing_head(Model& model, uint64_t seed) {
  for (const auto& [name, shape] : parameter_shapes(model.config, kMaskedLmTraining)) {
    if (model.parameters.has(name)) continue;
    model.parameters.set(name, initial_parameter(name, shape, model.config.initializer_range, seed));
  }
}

TrainResult pretrain_masked_lm(Model& model, const std::vector<std::string>& texts, const TrainOptions& given) {
  const TrainOptions options = resolve_options(given, model.config.hidden_size, 5);
  if (!model.tokenizer) usage_error("pretraining", "the model has no tokenizer");
  add_missing_head(model, options.seed);
  const int64_t max_length = std::min(options.max_length, model.config.max_positions);
  PretrainObjective objective(with_dropout(model.config, options.dropout), texts, *model.tokenizer,
                              masking_of(options, max_length));
  Machine machine(options);
  Trainer trainer(model, objective, options, machine);
  TrainResult result = trainer.run();
  record_training(model, objective, options, result);
  return result;
}

}  // namespace fettle
