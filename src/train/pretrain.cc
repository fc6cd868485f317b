// Masked-language-model pre-training (Devlin et al. 2019, without next-sentence prediction).
#include <algorithm>

#include "base/error.h"
#include "base/sha256.h"
#include "model/initialize.h"
#include "train/digest.h"
#include "train/loop.h"
#include "train/masked_corpus.h"

namespace fettle {
namespace {

constexpr GraphOptions kTrainingGraph{.head = GraphOptions::Head::kMaskedLm, .training = true};

class PretrainObjective : public Objective {
 public:
  PretrainObjective(const ModelConfig& config, const std::vector<std::string>& texts, const Tokenizer& tokenizer,
                    const MaskingOptions& masking)
      : config_(config), corpus_(texts, tokenizer, masking) {
    Digest digest;
    for (const std::string& text : texts) digest.add(text);
    digest_ = digest.hex();
  }

  std::string_view verb() const override { return "pretrain"; }
  std::string data_digest() const override { return digest_; }

  Graph build_loss_graph() const override {
    Graph graph = build_graph(config_, kTrainingGraph);
    const ValueId labels = graph.add_input("masked_labels", {DType::kI32, {graph.symbol("masked")}});
    const std::vector<ValueId> outputs =
        graph.add_nodes("softmax_cross_entropy", {graph.find("logits"), labels}, {}, "loss");
    graph.add_output("loss", outputs[0]);
    return graph;
  }

  int64_t n_batches(int64_t epoch) override {
    const auto known = batches_.find(epoch);
    if (known != batches_.end()) return known->second;
    return batches_[epoch] = corpus_.n_batches(epoch);
  }
  void begin_epoch(int64_t epoch) override { epoch_ = epoch; }

  void load(int64_t index, MicroBatch& batch) override {
    corpus_.load(epoch_, index, masked_);
    bind_tokens(masked_.tokens, config_, batch);
    batch.inputs.emplace_back("masked_positions", view_i32(masked_.masked_positions));
    batch.inputs.emplace_back("masked_labels", view_i32(masked_.masked_labels));
    batch.weight = static_cast<double>(masked_.masked_labels.size());
  }

  HitCount observe(const Executor& executor) override {
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

 private:
  ModelConfig config_;
  MaskedCorpus corpus_;
  MaskedBatch masked_;
  std::map<int64_t, int64_t> batches_;
  int64_t epoch_ = 0;
  std::string digest_;
};

void add_missing_head(Model& model, uint64_t seed) {
  for (const auto& [name, shape] : parameter_shapes(model.config, kTrainingGraph)) {
    if (model.parameters.has(name)) continue;
    model.parameters.set(name, initial_parameter(name, shape, model.config.initializer_range, seed));
  }
}

}  // namespace

TrainResult pretrain_masked_lm(Model& model, const std::vector<std::string>& texts, const TrainOptions& given) {
  const TrainOptions options = resolve_options(given, model.config.hidden_size, 5);
  if (!model.tokenizer) usage_error("pretraining", "the model has no tokenizer");
  add_missing_head(model, options.seed);
  const int64_t max_length = std::min(options.max_length, model.config.max_positions);
  PretrainObjective objective(with_dropout(model.config, options.dropout), texts, *model.tokenizer,
                              {.probability = options.mask_probability,
                               .max_length = max_length,
                               .token_budget = options.batch_size * max_length,
                               .join_texts = options.join_texts,
                               .short_sequence_ratio = options.short_sequence_ratio,
                               .seed = options.seed});
  Machine machine(options);
  Trainer trainer(model, objective, options, machine);
  TrainResult result = trainer.run();
  record_training(model, objective, options, result);
  return result;
}

}  // namespace fettle
