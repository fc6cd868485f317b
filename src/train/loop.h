// The one training loop: every objective (classification, masked language model, distillation) runs on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "graph/graph.h"
#include "kernels/kernel_table.h"
#include "train/checkpoint.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/trainer.h"

namespace fettle {

// Where training runs.
struct Machine {
  explicit Machine(const TrainOptions& options);
  ThreadPool pool;
  const KernelTable& table;
};

class Trainer {
 public:
  Trainer(Model& model, Objective& objective, const TrainOptions& options, Machine& machine);
  ~Trainer();

  // Runs to the end, to Ctrl-C (kInterrupted) or to a loss that is not finite (kFailed).
  TrainResult run();
  int64_t total_steps() const { return total_steps_; }
  // For profiling.
  Executor& executor() { return *executor_; }

 private:
  double step();  // the loss
  bool epoch_is_over();
  void end_epoch();
  void keep_if_best(double accuracy);
  void record_curve(double loss);
  void save(bool finished);
  [[noreturn]] void interrupt();
  void finish();
  CheckpointKey checkpoint_key() const;

  Model& model_;
  Objective& objective_;
  const TrainOptions options_;
  Machine& machine_;
  Graph graph_;
  std::vector<std::string> gradient_names_;  // outputs of the graph, one for each slot
  std::vector<std::string> squares_names_;   // outputs with the sums of their squares, "" where there is none
  std::vector<ParameterSlot> slots_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Executor> executor_;
  std::vector<Tensor> best_;
  TrainState state_;
  MicroBatch batch_;
  CheckpointKey key_;
  int64_t total_steps_ = 0;
  int64_t schedule_steps_ = 0;
  int64_t warmup_steps_ = 0;
  int64_t curve_interval_ = 1;
};

// The options as the manifest and the checkpoint keep them: all that influence the weights.
Json options_to_json(const TrainOptions& options);
// Adds {"verb", "options", "seed", "data", "steps"} to the manifest's steps, and forgets the out-of-scope threshold.
void record_training(Model& model, const Objective& objective, const TrainOptions& options, const TrainResult& result);
// The options with the learning rate that they leave to the model's width, `factor` times the one for fine-tuning.
// kUsage for numbers that make no sense.
TrainOptions resolve_options(const TrainOptions& options, int64_t hidden_size, double factor = 1);

}  // namespace fettle
