// Unstructured pruning: single weights, blocks of weights or two of each four become zero, at once or in training.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "data/dataset.h"
#include "graph/mask_blocks.h"
#include "model/model.h"
#include "train/distill/distill_options.h"
#include "train/prune/mask_select.h"
#include "train/trainer.h"
#include "train/training_hook.h"

namespace fettle {

enum class WeightMethod : uint8_t {
  kMagnitude,     // |w|, or the root mean square of a block
  kMovement,      // learned scores S = -Σ ∂L/∂W' · W, the best of each matrix (Sanh et al. 2020)
  kSoftMovement,  // the same scores, one threshold on σ(S) for all matrices, penalty λ · mean σ(S)
  kL0,            // hard-concrete gates, penalty λ · mean P(gate open) (Louizos et al. 2018)
};

enum class WeightPattern : uint8_t {
  kElement,
  kBlock4x1,    // four neighbouring inputs of one output
  kBlock32x32,  // 32 inputs of 32 outputs
  kTwoOfFour,   // of four neighbouring inputs of one output two
};

struct WeightPruneOptions {
  WeightMethod method = WeightMethod::kMagnitude;
  WeightPattern pattern = WeightPattern::kElement;
  // Share of the weights that are removed, in (0, 1); 2:4 removes half. Soft movement and L0 may be told NaN: then what
  // the threshold and the penalty leave.
  double target = 0.9;
  bool global = false;      // one threshold for all matrices; soft movement and L0 have no other
  bool embeddings = false;  // the word embeddings too, beside the encoder's linears
  bool head = false;        // and the linears behind the encoder
  // Shares of the steps: nothing is pruned before the first, sparsity is reached and masks stay from the second on.
  double begin = 0.1;
  double end = 0.6;
  double score_learning_rate = 1e-2;
  double penalty = -1;     // λ; below 0: 400 for soft movement, 125 for L0
  double threshold = 0.1;  // τ on σ(S): soft movement without a target

  bool learns_scores() const { return method != WeightMethod::kMagnitude; }
  bool has_target() const { return target == target; }
  bool is_global() const { return global || method == WeightMethod::kSoftMovement || method == WeightMethod::kL0; }
  double lambda() const;  // 0 for methods without a penalty
};
std::string_view method_name(WeightMethod method);
std::string_view pattern_name(WeightPattern pattern);
// kUsage for numbers that make no sense together.
void check_options(const WeightPruneOptions& options);
Json options_to_json(const WeightPruneOptions& options);
// As the verb's flags say it, for the manifest; without those of training unless it `trains`.
Json flags_to_json(const WeightPruneOptions& options, bool trains);

// Names of the matrices that the options mean, each once, in the graph's order.
std::vector<std::string> prunable_weights(const ModelConfig& config, const WeightPruneOptions& options);
// Blocks of a matrix under a pattern.
MaskBlocks blocks_of(const Shape& matrix, WeightPattern pattern);
// kBadInput naming the matrix when the pattern does not fit it.
void check_fits(const std::string& name, const Shape& matrix, WeightPattern pattern);
// Fills the masks for a sparsity on the way to the target.
void select_masks(MaskSelector& selector, std::span<const ScoredPart> parts, const WeightPruneOptions& options,
                  double sparsity);

struct MatrixSparsity {
  std::string name;
  int64_t n_weights = 0;
  int64_t n_zeros = 0;
};
// Zeros among the stored values of those parameters.
std::vector<MatrixSparsity> count_zeros(const Model& model, const std::vector<std::string>& names);

// Without data: the weights of the least magnitude become zero, each matrix in the encoding that it has (a sparse one
// becomes dense; store_smallest() makes it sparse again). Errors: kUsage
// for methods that must learn; kBadInput for matrices that the pattern does not fit.
void prune_by_magnitude(Model& model, const WeightPruneOptions& options);
// Stores each of those matrices by what takes the fewest bytes, with all its zeros or without (tensor/sparse.h),
// exactly. Returns how many became sparse.
int64_t store_smallest(Model& model, const std::vector<std::string>& names);

struct PruneTraining {
  const Dataset& train;
  const Dataset* eval = nullptr;
  TrainOptions options;
  bool distill = false;  // from the model as it was (single-label classifiers)
  DistillOptions distillation;
};
// Prunes while training; the model's parameters become dense f32 and a step "prune" is added to its manifest. Errors as
// train_classifier() and distill() have them, and kUsage for options that do not combine.
TrainResult prune_in_training(Model& model, const WeightPruneOptions& options, const PruneTraining& training);

// The masks of a training run. Scores are parameters of the model while this lives.
class WeightPruning : public TrainingHook {
 public:
  WeightPruning(Model& model, const WeightPruneOptions& options);
  ~WeightPruning() override;
  WeightPruning(const WeightPruning&) = delete;
  WeightPruning& operator=(const WeightPruning&) = delete;

  std::string_view verb() const override { return "prune"; }
  Json options() const override { return options_to_json(options_); }
  void record(Json& options, bool is_distilled) const override;
  void add_to(Graph& graph) override;
  void begin(const HookRun& run) override;
  void before_step(int64_t step) override;
  const std::vector<std::pair<std::string, Tensor>>& inputs() const override { return inputs_; }
  const std::vector<std::pair<std::string, Tensor>>& state() const override { return state_; }
  void show(int64_t step) override;
  void hide() override;
  void finish(int64_t step) override;
  bool is_settled(int64_t step) const override { return step >= schedule_.end; }
  std::string note() const override;

 private:
  struct Part {
    std::string name;
    MaskBlocks blocks;
    Tensor mask;    // [mask_rows, mask_columns]
    Tensor scores;  // learned: the slot's; else a buffer for magnitudes
    Tensor weight;  // the slot's
    ParameterSlot* score_slot = nullptr;
    Tensor trained;  // the weights while others are shown
  };
  double progress(int64_t step) const;
  void update_masks(int64_t step);
  void select(double sparsity);
  std::vector<ScoredPart> scored_parts();
  void select_by_threshold(double threshold);
  void apply_masks();
  void add_penalty(Graph& graph);
  void set_rates(int64_t step);

  Model& model_;
  WeightPruneOptions options_;
  std::vector<Part> parts_;
  std::vector<std::pair<std::string, Tensor>> inputs_;
  std::vector<std::pair<std::string, Tensor>> state_;
  Tensor noise_;           // [1] L0: whether gates are stochastic
  Tensor penalty_weight_;  // [1]
  ThreadPool* pool_ = nullptr;
  std::unique_ptr<MaskSelector> selector_;
  CubicSchedule schedule_;
  double learning_rate_ = 0;
  double sparsity_ = 0;
};

}  // namespace fettle
