// AdamW over all parameters of a model, with gradient accumulation, clipping by the global norm, and a moving average
// of the weights.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/model.h"
#include "train/trainer.h"

namespace fettle {

class SharedSlots;
class TableRows;

// One trained parameter with the optimizer's state.
struct ParameterSlot {
  std::string name;
  Tensor weight;  // shares the model's buffer
  Tensor m;       // first and second moments, same shape
  Tensor v;
  Tensor accumulated;      // sum of weighted gradients; undefined without accumulation
  Tensor average;          // of the weights over the steps, same shape; undefined without averaging
  bool decay = false;      // weight decay applies: matrices only, not biases and norms
  double rate_factor = 1;  // on the learning rate (layer_rates.h)
  bool is_table = false;   // its gradient is a few rows (table_rows.h)

  int64_t size() const { return weight.size(); }
};

// Makes the named parameters of the model dense f32 in memory of their own (model copies are shallow) and gives them
// slots with what the options need.
std::vector<ParameterSlot> make_slots(Model& model, std::span<const std::string> names, const TrainOptions& options);

// The gradient of a table in one step: rows [n, width] for the ids row_ids [n], distinct and rising; -1 behind the
// last.
struct TableGradient {
  const float* rows = nullptr;
  std::span<const int32_t> row_ids;
};

// A piece of a slot that one task works on.
struct OptimizerBlock {
  int32_t slot;
  int64_t begin;
  int64_t end;
};
// Of all slots but tables, in order.
std::vector<OptimizerBlock> cut_blocks(const std::vector<ParameterSlot>& slots);

// Work is cut into fixed blocks of the parameters, so sums and results are the same at any number of threads.
class Optimizer {
 public:
  // With `shared` each rank updates its part of the slots (parallel/shared_slots.h).
  Optimizer(std::vector<ParameterSlot>& slots, const TrainOptions& options, const KernelTable& table, ThreadPool& pool,
            SharedSlots* shared = nullptr);
  ~Optimizer();

  // slot.accumulated (+)= weight · gradient; gradients [slots]. `first` overwrites.
  void accumulate(std::span<const float* const> gradients, double weight, bool first);
  // What is accumulated where a step has given a rank nothing.
  void accumulate_nothing();
  // Before a forward pass reads these rows of a table.
  void catch_up(size_t slot, std::span<const int32_t> ids);
  // Before anybody else reads the parameters: rows of tables catch up with the steps that they have left out.
  void catch_up_all();
  // Of slot `slot`, a table, for the next step.
  void set_table_gradient(size_t slot, const TableGradient& gradient) { table_gradients_[slot] = gradient; }
  // Gradients of a step are gradients[i] · scale; squares[i] is the sum of gradients[i]'s squares where that is known,
  // else below 0. Clips and updates, weights and then their averages; `time` is the number of the step, from 1. Returns
  // the norm before clipping; when that is not finite nothing is changed.
  double step(std::span<const float* const> gradients, std::span<const double> squares, double scale,
              double learning_rate, int64_t time);

  std::vector<const float*> accumulated() const;
  // Exchanges all weights and their averages, where there are averages.
  void swap_averages();

 private:
  double global_norm(std::span<const float* const> gradients, std::span<const double> squares);

  std::vector<ParameterSlot>& slots_;
  const TrainOptions& options_;
  const KernelTable& table_;
  ThreadPool& pool_;
  SharedSlots* shared_;
  std::vector<OptimizerBlock> all_blocks_;
  std::vector<OptimizerBlock> blocks_;  // this rank's
  std::vector<double> partial_;
  std::vector<std::unique_ptr<TableRows>> tables_;  // by slot; null where it is none
  std::vector<TableGradient> table_gradients_;      // by slot
};

// What the average keeps of itself in step `time`, from 1: min(decay, (1 + time) / (10 + time)), so that the first
// steps' weights are soon forgotten.
double average_decay(double decay, int64_t time);

}  // namespace fettle
