// Quantization-aware training: the loss sees weights (and inputs of linears) as the integers that they will be stored
// as, and the steps of the grids are learned with the weights (LSQ, Esser et al. 2020).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "data/dataset.h"
#include "model/model.h"
#include "tensor/encoding.h"
#include "tensor/int_grid.h"
#include "train/distill/distill_options.h"
#include "train/trainer.h"
#include "train/training_hook.h"

namespace fettle {

// What weights become, by name: integers with a scale a row, a group or a tensor.
using WeightEncodings = std::map<std::string, Encoding>;

struct WeightQuantizeOptions {
  // How far a step size may move in one step of training at the peak of the schedule, as a share of itself: it has
  // 2^bits values to place, not one. 0: steps stay as they were chosen.
  double step_learning_rate = 1e-3;
};

struct QuantizeTraining {
  const Dataset& train;
  const Dataset* eval = nullptr;
  TrainOptions options;
  bool distill = false;  // from the model as it was (single-label classifiers)
  DistillOptions distillation;
};

// Trains the model with those weights rounded, and stores them so; all else becomes dense f32. A step "quantize" is
// added to its manifest. Errors as train_classifier() and distill() have them; kBadInput for an encoding without
// integers.
TrainResult quantize_in_training(Model& model, const WeightEncodings& encodings, const WeightQuantizeOptions& options,
                                 const QuantizeTraining& training);

// The grids of a training run. Steps are parameters of the model while this lives.
class WeightQuantization : public TrainingHook {
 public:
  WeightQuantization(Model& model, const WeightEncodings& encodings, const WeightQuantizeOptions& options);
  ~WeightQuantization() override;
  WeightQuantization(const WeightQuantization&) = delete;
  WeightQuantization& operator=(const WeightQuantization&) = delete;

  // After the run: the weights as integers on the learned grids, by name.
  std::map<std::string, EncodedTensor> encoded() const;

  std::string_view verb() const override { return "quantize"; }
  Json options() const override;
  void record(Json& options, bool is_distilled) const override;
  void add_to(Graph& graph) override;
  void begin(const HookRun& run) override;
  void before_step(int64_t step) override;
  const std::vector<std::pair<std::string, Tensor>>& inputs() const override { return inputs_; }
  const std::vector<std::pair<std::string, Tensor>>& state() const override { return state_; }
  void show(int64_t step) override;
  void hide() override;
  void finish(int64_t step) override;
  bool is_settled(int64_t /*step*/) const override { return true; }
  std::string note() const override;

 private:
  struct Part {
    std::string name;
    Encoding encoding;
    IntGrid first;    // the grid that training began with; its zero points stay
    Tensor steps;     // the slot's
    Tensor weight;    // the slot's
    Tensor trained;   // the weights while others are shown
    double mean = 0;  // of the first steps
  };
  static IntGrid grid_of(const Part& part);
  void round_weights();

  Model& model_;
  WeightQuantizeOptions options_;
  std::vector<Part> parts_;
  std::vector<std::pair<std::string, Tensor>> inputs_;  // zero points
  std::vector<std::pair<std::string, Tensor>> state_;   // all that there is, the slots have
  ThreadPool* pool_ = nullptr;
};

}  // namespace fettle
