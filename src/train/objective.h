// What is trained on: a graph with a loss, and batches for it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "data/batching.h"
#include "graph/graph.h"
#include "model/config.h"
#include "runtime/executor.h"
#include "tensor/ragged.h"
#include "train/trainer.h"

namespace fettle {

// Inputs of one forward and backward pass. The tensors stay valid until the objective loads the next one.
struct MicroBatch {
  std::vector<std::pair<std::string, Tensor>> inputs;
  int64_t n_samples = 0;
  int64_t n_tokens = 0;
  double weight = 1;  // rows that the loss is a mean over: how batches that are accumulated are weighted
};

// Hits and trials of a measurement on training batches.
struct HitCount {
  double hits = 0;
  double trials = 0;
};

// The micro batches of each epoch over a data set, examples of like length together.
class EpochBatches {
 public:
  EpochBatches(std::vector<int32_t> lengths, const TrainOptions& options);
  int64_t n_batches() const;
  void begin_epoch(int64_t epoch);
  std::span<const int32_t> batch(int64_t index) const { return plan_.batch(index); }

 private:
  std::vector<int32_t> lengths_;
  int64_t batch_size_;
  uint64_t seed_;
  BatchPlan plan_;
};

class Objective {
 public:
  virtual ~Objective() = default;
  virtual std::string_view verb() const = 0;  // "train", "pretrain", "distill"
  // A graph whose output "loss" has one element.
  virtual Graph build_loss_graph() const = 0;
  virtual int64_t n_batches(int64_t epoch) = 0;  // micro batches; a pure function of the epoch
  virtual void begin_epoch(int64_t epoch) = 0;
  virtual void load(int64_t index, MicroBatch& batch) = 0;
  // Looks at the outputs of the pass just run, every tenth step or so.
  virtual HitCount observe(const Executor&) { return {}; }
  // Accuracy, or another metric() that is better when higher and never negative, of the model as it is now on
  // evaluation data; -1 when there is none.
  virtual double evaluate() { return -1; }
  // What a run was told beside its TrainOptions: names and values for manifest and checkpoints.
  virtual Json options() const { return Json::object(); }
  virtual std::string_view metric() const { return "accuracy"; }
  // The loss of a model that knows nothing, as ln(classes); 0 where nobody can say.
  virtual double chance_loss() const { return 0; }
  // SHA-256 of the texts and labels.
  virtual std::string data_digest() const = 0;
};

// Replaces the batch's inputs by those of an encoder: token_ids, position_ids, type_ids, offsets, first_tokens; counts
// samples and tokens. Position ids begin where `config` says. `tokens` must outlive the batch's use.
void bind_tokens(const RaggedBatch& tokens, const ModelConfig& config, MicroBatch& batch);
// A tensor over the vector's memory.
Tensor view_i32(const std::vector<int32_t>& values);
// The configuration with every dropout set, when `dropout` is not negative.
ModelConfig with_dropout(ModelConfig config, double dropout);

}  // namespace fettle
