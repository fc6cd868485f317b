// What may stand between the training loop and a model's weights: the masks of pruning. It works with every objective.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/thread_pool.h"
#include "graph/graph.h"
#include "train/optimizer.h"
#include "train/trainer.h"

namespace fettle {

// The run that a hook belongs to.
struct HookRun {
  std::vector<ParameterSlot>& slots;  // of the graph's parameters, in their order
  ThreadPool& pool;
  int64_t total_steps = 0;
  double learning_rate = 0;
};

class TrainingHook {
 public:
  virtual ~TrainingHook() = default;
  // What it was told: a checkpoint must agree on it.
  virtual Json options() const = 0;
  // What the manifest calls such a run. record() adds the verb's flags to the run's options and takes out those that
  // the verb would refuse, so that the step can be replayed.
  virtual std::string_view verb() const = 0;
  virtual void record(Json& options, bool is_distilled) const = 0;
  // Before the loss graph is differentiated: may put nodes between parameters and what reads them, and add inputs,
  // parameters (which it has given the model) and an output "minimized" [1], of which the gradient is taken in the
  // place of "loss".
  virtual void add_to(Graph& graph) = 0;
  // Once, before a checkpoint is read into the slots and the state.
  virtual void begin(const HookRun& run) = 0;
  // Before each step, from 0, whose passes see inputs().
  virtual void before_step(int64_t step) = 0;
  virtual const std::vector<std::pair<std::string, Tensor>>& inputs() const = 0;
  // Tensors (f32) that a checkpoint keeps beside the slots; those of a checkpoint are copied into them.
  virtual const std::vector<std::pair<std::string, Tensor>>& state() const = 0;
  // After `step` steps: puts the weights that the model would have if the run ended here in the place of those that are
  // trained, and those back. Between the two the slots' weights may be read, not changed.
  virtual void show(int64_t step) = 0;
  virtual void hide() = 0;
  // At the end, after `step` steps: as show(), for good.
  virtual void finish(int64_t step) = 0;
  // Whether the model after `step` steps is what was asked for, so that it may be kept as the best. Until then a rising
  // loss is no divergence.
  virtual bool is_settled(int64_t step) const = 0;
  virtual std::string note() const = 0;  // for the progress line
};

// As those of trainer.h, with a hook, which outlives the call; the manifest's step has the hook's verb and options.
TrainResult train_classifier(Model& model, const Dataset& train, const Dataset* eval, const TrainOptions& options,
                             TrainingHook* hook);
TrainResult distill(Model& student, const std::vector<std::shared_ptr<const Model>>& teachers, const Dataset& train,
                    const Dataset* eval, const TrainOptions& options, const DistillOptions& distillation,
                    TrainingHook* hook);

}  // namespace fettle
