// The one training loop: every objective (classification, masked language model, distillation) runs on it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/progress.h"
#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "train/checkpoint.h"
#include "train/divergence.h"
#include "train/event_file.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/parallel/shared_slots.h"
#include "train/table_rows.h"
#include "train/trainer.h"
#include "train/training_graph.h"

namespace fettle {

class TrainingHook;

// Where training runs.
struct Machine {
  explicit Machine(const TrainOptions& options);
  ThreadPool pool;
  const KernelTable& table;
};

class Trainer {
 public:
  // `hook` (training_hook.h) is not owned; null: none.
  Trainer(Model& model, Objective& objective, const TrainOptions& options, Machine& machine,
          TrainingHook* hook = nullptr);
  ~Trainer();

  // Runs to the end, to Ctrl-C (kInterrupted), or to a loss that is not finite or diverges (kFailed).
  TrainResult run();
  int64_t total_steps() const { return total_steps_; }
  // For profiling.
  Executor& executor() { return *executor_; }

 private:
  struct StepRecord {
    double loss = 0;
    double rate = 0;
    double norm = 0;  // of the gradient before clipping
  };
  // Of the micro batches of a step.
  struct StepTotals {
    double loss = 0;  // each times its weight
    double weight = 0;
    int64_t samples = 0;
    int64_t tokens = 0;
    int64_t n_run = 0;  // here
  };
  TrainResult run_steps();
  void resume();
  StepRecord step();
  StepTotals run_share(int64_t group);
  StepTotals sum_over_ranks(const StepTotals& mine);
  void run_micro_batch(int64_t index, int64_t of_step);
  double set_table_gradient(size_t slot, const StepTotals& mine);
  HitCount observe();
  double evaluate();
  bool accumulates() const;
  bool is_first() const;  // of the ranks, or alone
  [[noreturn]] void stop_without_the_others() const;
  void check(const StepRecord& done);
  void write_events(const StepRecord& done);
  [[noreturn]] void give_up(const std::string& what, int64_t step, double rate) const;
  bool epoch_is_over();
  void end_epoch();
  Graph loss_graph() const;
  bool is_settled() const;
  void keep_if_best(double accuracy);
  void record_curve(double loss);
  void save_unless_suspicious();
  void save(bool finished);
  [[noreturn]] void interrupt();
  void finish();
  CheckpointKey checkpoint_key() const;

  Model& model_;
  Objective& objective_;
  const TrainOptions options_;
  Machine& machine_;
  TrainingHook* hook_;
  TrainingGraph graph_;
  std::vector<ParameterSlot> slots_;     // of the graph's parameters, in their order
  std::unique_ptr<SharedSlots> shared_;  // of several ranks
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Executor> executor_;
  std::vector<Tensor> best_;
  DivergenceWatch watch_;
  std::unique_ptr<EventFile> events_;
  int64_t saved_step_ = -1;              // of the last checkpoint
  std::vector<const float*> gradients_;  // by slot, of the micro batch just run or of the step
  std::vector<Tensor> outputs_;
  std::vector<MergedRows> merged_;  // by slot
  bool ran_last_step_ = false;
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
// With a hook the step has its verb and options.
void record_training(Model& model, const Objective& objective, const TrainOptions& options, const TrainResult& result,
                     const TrainingHook* hook = nullptr);
// The options with the learning rate that they leave to the model's width, `factor` times the one for fine-tuning.
// kUsage for numbers that make no sense.
TrainOptions resolve_options(const TrainOptions& options, int64_t hidden_size, double factor = 1);

}  // namespace fettle
