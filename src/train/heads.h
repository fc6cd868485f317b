// Training of heads that are no single-label classifiers: sets of labels and numbers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/batching.h"
#include "data/scores.h"
#include "data/tokenized.h"
#include "model/model.h"
#include "train/classify.h"
#include "train/loop.h"

namespace fettle {

// What the labels of data for such a model are.
LabelKind label_kind_of(ProblemType problem);
// kBadInput naming `where` for models of label sets or numbers, which `purpose` ("distillation") is not for.
void require_single_label(const ModelConfig& config, const std::string& where, const std::string& purpose);

// Texts as tokens, with what the logits shall become.
struct TargetData {
  TokenizedTexts texts;
  Tensor targets;  // f32 [n, n_labels]: 0 or 1 for each label of the model, or the number
  Dataset truth;   // label sets as ids of the model, or numbers; without the texts
  std::string digest;

  int64_t size() const { return static_cast<int64_t>(truth.examples.size()); }
};

// Labels are matched by name. kBadInput for empty data, data of another kind than the model's, a label that the model
// does not have, and an example without one.
TargetData prepare_targets(const Model& model, const Dataset& data, int64_t max_length);

// Label sets: mean over all labels of the binary cross entropy, measured by micro-F1. Numbers: mean squared error,
// measured by the coefficient of determination R², 0 where it is negative.
class TargetObjective : public Objective {
 public:
  TargetObjective(const Model& model, TargetData train, std::optional<TargetData> eval, const TrainOptions& options,
                  Machine& machine);

  std::string_view verb() const override { return "train"; }
  std::string_view metric() const override { return is_regression() ? "r2" : "micro_f1"; }
  std::string data_digest() const override;
  Graph build_loss_graph() const override;
  int64_t n_batches(int64_t) override { return batches_.n_batches(); }
  void begin_epoch(int64_t epoch) override { batches_.begin_epoch(epoch); }
  void load(int64_t index, MicroBatch& batch) override;
  double evaluate() override;
  double chance_loss() const override;

 private:
  bool is_regression() const { return model_.config.problem == ProblemType::kRegression; }

  const Model& model_;
  TargetData train_;
  std::optional<TargetData> eval_;
  const TrainOptions& options_;
  Machine& machine_;
  EpochBatches batches_;
  std::unique_ptr<LogitsRunner> runner_;
  RaggedBatch tokens_;
};

}  // namespace fettle
