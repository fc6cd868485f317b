// AdamW over all parameters of a model, with gradient accumulation and clipping by the global norm.
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
  Tensor accumulated;  // sum of weighted gradients; undefined without accumulation
  bool decay = false;  // weight decay applies: matrices only, not biases and norms

  int64_t size() const { return weight.size(); }
};

// Makes the named parameters of the model dense f32 in memory of their own (model copies are shallow) and gives them
// slots.
std::vector<ParameterSlot> make_slots(Model& model, std::span<const std::string> names, bool accumulate);

// Work is cut into fixed blocks of the parameters, so sums and results are the same at any number of threads.
class Optimizer {
 public:
  Optimizer(std::vector<ParameterSlot>& slots, const TrainOptions& options, const KernelTable& table, ThreadPool& pool);

  // slot.accumulated (+)= weight · gradient; gradients [slots]. `first` overwrites.
  void accumulate(std::span<const float* const> gradients, double weight, bool first);
  // Gradients of a step are gradients[i] · scale; squares[i] is the sum of gradients[i]'s squares where that is known,
  // else below 0. Clips and updates; `time` is the number of the step, from 1. Returns the norm before clipping; when
  // that is not finite nothing is changed.
  double step(std::span<const float* const> gradients, std::span<const double> squares, double scale,
              double learning_rate, int64_t time);

  std::vector<const float*> accumulated() const;

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

}  // namespace fettle
