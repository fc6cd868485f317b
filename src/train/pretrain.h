// Masked-language modelling as an objective, alone or with a teacher (distill/distill_pretrain.cc).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/model.h"
#include "train/masked_corpus.h"
#include "train/objective.h"
#include "train/trainer.h"

namespace fettle {

inline constexpr GraphOptions kMaskedLmTraining{.head = GraphOptions::Head::kMaskedLm, .training = true};

// loss = cross entropy of the masked tokens, the mean over them.
class PretrainObjective : public Objective {
 public:
  PretrainObjective(const ModelConfig& config, const std::vector<std::string>& texts, const Tokenizer& tokenizer,
                    const MaskingOptions& masking);

  std::string_view verb() const override { return "pretrain"; }
  std::string data_digest() const override { return digest_; }
  Graph build_loss_graph() const override;
  int64_t n_batches(int64_t epoch) override;
  void begin_epoch(int64_t epoch) override { epoch_ = epoch; }
  void load(int64_t index, MicroBatch& batch) override;
  HitCount observe(const Executor& executor) override;

 protected:
  const ModelConfig& config() const { return config_; }
  // The batch that was loaded last.
  const MaskedBatch& masked() const { return masked_; }

 private:
  ModelConfig config_;
  MaskedCorpus corpus_;
  MaskedBatch masked_;
  std::map<int64_t, int64_t> batches_;
  int64_t epoch_ = 0;
  std::string digest_;
};

MaskingOptions masking_of(const TrainOptions& options, int64_t max_length);
// Gives a model without a masked-word head one with random values.
void add_missing_head(Model& model, uint64_t seed);

}  // namespace fettle
