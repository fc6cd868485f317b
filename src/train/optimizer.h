// AdamW over all parameters of a model, with gradient accumulation, clipping by the global norm, and a moving average
// of the weights.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "model/model.h"
#include "train/trainer.h"

namespace fettle {

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

  int64_t size() const { return weight.size(); }
};

// Makes the named parameters of the model dense f32 in memory of their own (model copies are shallow) and gives them
// slots with what the options need.
std::vector<ParameterSlot> make_slots(Model& model, std::span<const std::string> names, const TrainOptions& options);

// Work is cut into fixed blocks of the parameters, so sums and results are the same at any number of threads.
class Optimizer {
 public:
  Optimizer(std::vector<ParameterSlot>& slots, const TrainOptions& options, const KernelTable& table, ThreadPool& pool);

  // slot.accumulated (+)= weight · gradient; gradients [slots]. `first` overwrites.
  void accumulate(std::span<const float* const> gradients, double weight, bool first);
  // Gradients of a step are gradients[i] · scale; squares[i] is the sum of gradients[i]'s squares where that is known,
  // else below 0. Clips and updates, weights and then their averages; `time` is the number of the step, from 1. Returns
  // the norm before clipping; when that is not finite nothing is changed.
  double step(std::span<const float* const> gradients, std::span<const double> squares, double scale,
              double learning_rate, int64_t time);

  std::vector<const float*> accumulated() const;
  // Exchanges all weights and their averages, where there are averages.
  void swap_averages();

 private:
  struct Block {
    int32_t slot;
    int64_t begin;
    int64_t end;
  };
  double global_norm(std::span<const float* const> gradients, std::span<const double> squares);

  std::vector<ParameterSlot>& slots_;
  const TrainOptions& options_;
  const KernelTable& table_;
  ThreadPool& pool_;
  std::vector<Block> blocks_;
  std::vector<double> partial_;
};

// What the average keeps of itself in step `time`, from 1: min(decay, (1 + time) / (10 + time)), so that the first
// steps' weights are soon forgotten.
double average_decay(double decay, int64_t time);

}  // namespace fettle
