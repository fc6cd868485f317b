// Training of classifiers: hard labels, and a teacher's logits beside or instead of them.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/batching.h"
#include "data/tokenized.h"
#include "model/model.h"
#include "train/loop.h"

namespace fettle {

// Texts as tokens, with labels as ids of the model.
struct ClassificationData {
  TokenizedTexts texts;
  std::vector<int32_t> labels;  // [n], kUnlabelled where there is none
  std::string digest;

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
};

// For each label of the data its id in the model, kUnlabelled where the model does not have it.
std::vector<int32_t> label_ids(const Model& model, const Dataset& data);

// Labels are matched by name. kBadInput for empty data, for a label that the model does not have, and for models of
// label sets or numbers (heads.h).
ClassificationData prepare(const Model& model, const Dataset& data, int64_t max_length);

// Logits of a model as it is now, in the order of the data; built once, used after every epoch.
class LogitsRunner {
 public:
  LogitsRunner(const Model& model, const TrainOptions& options, Machine& machine);
  Tensor run(const TokenizedTexts& texts, int64_t batch_size);  // [n, n_labels]
  double accuracy(const ClassificationData& data, int64_t batch_size);

 private:
  Graph graph_;
  Executor executor_;
  ModelConfig config_;
  int64_t n_labels_;
};

// What distillation does to the loss of a classifier (distill/distillation_loss.h).
class TeacherLoss {
 public:
  virtual ~TeacherLoss() = default;
  // Takes the classifier's graph and its own loss; returns the loss in its place.
  virtual ValueId add_to(Graph& graph, ValueId loss) const = 0;
  // Adds what the teacher gives for these examples of the training data to the batch.
  virtual void load(std::span<const int32_t> examples, MicroBatch& batch) = 0;
  virtual Json options() const = 0;
  virtual std::string digest() const = 0;  // of what the teacher gives
};

// loss = CE, the mean over the labelled rows of a micro batch, weighted by the options' class weights, or what a
// TeacherLoss makes of it.
class ClassifierObjective : public Objective {
 public:
  ClassifierObjective(const Model& model, ClassificationData train, std::optional<ClassificationData> eval,
                      const TrainOptions& options, Machine& machine, std::unique_ptr<TeacherLoss> teacher = nullptr);

  std::string_view verb() const override { return teacher_ ? "distill" : "train"; }
  std::string data_digest() const override;
  Json options() const override;
  Graph build_loss_graph() const override;
  int64_t n_batches(int64_t) override { return batches_.n_batches(); }
  void begin_epoch(int64_t epoch) override { batches_.begin_epoch(epoch); }
  void load(int64_t index, MicroBatch& batch) override;
  double evaluate() override;
  double chance_loss() const override;

 private:
  double weight_of(int32_t label) const;

  const Model& model_;
  ClassificationData train_;
  std::optional<ClassificationData> eval_;
  const TrainOptions& options_;
  Machine& machine_;
  std::unique_ptr<TeacherLoss> teacher_;
  EpochBatches batches_;
  std::vector<float> class_weights_;  // [n_labels], or empty: all are 1
  std::unique_ptr<LogitsRunner> runner_;
  RaggedBatch tokens_;
  std::vector<int32_t> labels_;
};

}  // namespace fettle
