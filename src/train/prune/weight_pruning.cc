#include "train/prune/weight_pruning.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "graph/hard_concrete.h"
#include "train/prune/mask_graph.h"
#include "train/prune/weight_scores.h"

namespace fettle {
namespace {

constexpr float kOpenGate = 2.197f;  // log α at the start: σ is 0.9
constexpr const char* kPenaltyWeight = "prune.penalty_weight";

std::string scores_of(const std::string& weight) {
  return "prune.scores." + weight;
}

std::span<float> values_of(Tensor& tensor) {
  return {tensor.mutable_data<float>(), static_cast<size_t>(tensor.size())};
}

Shape mask_shape(const MaskBlocks& blocks) {
  return {blocks.mask_rows(), blocks.mask_columns()};
}

HardConcrete<float> gate_shape() {
  return {.inverse_beta = static_cast<float>(1 / kGateBeta),
          .gamma = static_cast<float>(kGateGamma),
          .zeta = static_cast<float>(kGateZeta)};
}

}  // namespace

WeightPruning::WeightPruning(Model& model, const WeightPruneOptions& options)
    : model_(model), options_(options), noise_(DType::kF32, {1}), penalty_weight_(DType::kF32, {1}) {
  check_options(options_);
  for (const std::string& name : prunable_weights(model.config, options_)) {
    const Shape& shape = model.parameters.get(name).shape;
    check_fits(name, shape, options_.pattern);
    Part part;
    part.name = name;
    part.blocks = blocks_of(shape, options_.pattern);
    part.mask = Tensor(DType::kF32, mask_shape(part.blocks));
    std::ranges::fill(values_of(part.mask), 1.0f);
    part.scores = Tensor(DType::kF32, mask_shape(part.blocks));
    inputs_.emplace_back("prune.mask." + name, part.mask);
    state_.emplace_back("mask/" + name, part.mask);
    parts_.push_back(std::move(part));
  }
  if (parts_.empty()) bad_input("model", "has no weights to prune");
  if (options_.method == WeightMethod::kL0) inputs_.emplace_back(kGateNoise, noise_);
  if (options_.lambda() > 0) inputs_.emplace_back(kPenaltyWeight, penalty_weight_);
  if (!options_.learns_scores()) return;
  for (Part& part : parts_) {
    if (options_.method == WeightMethod::kL0) std::ranges::fill(values_of(part.scores), kOpenGate);
    model_.parameters.set(scores_of(part.name), EncodedTensor::dense(part.scores));
  }
}

WeightPruning::~WeightPruning() {
  for (const Part& part : parts_) model_.parameters.erase(scores_of(part.name));
}

void WeightPruning::add_to(Graph& graph) {
  std::vector<MaskSite> sites;
  for (const Part& part : parts_) {
    sites.push_back({.weight = part.name,
                     .mask = "prune.mask." + part.name,
                     .scores = options_.learns_scores() ? scores_of(part.name) : "",
                     .blocks = part.blocks});
  }
  insert_masks(graph, sites, options_.method == WeightMethod::kL0);
  if (options_.lambda() > 0) add_penalty(graph);
}

// λ times the mean over the matrices of the mean over their scores.
void WeightPruning::add_penalty(Graph& graph) {
  const ValueId weight = graph.add_input(kPenaltyWeight, {DType::kF32, {Graph::constant_dim(1)}});
  const bool is_l0 = options_.method == WeightMethod::kL0;
  const double shift = is_l0 ? -kGateBeta * std::log(-kGateGamma / kGateZeta) : 0.0;
  ValueId sum = kNoValue;
  for (const Part& part : parts_) {
    const ValueId term = graph.node("sigmoid_penalty", {graph.find(scores_of(part.name)), weight}, {{"shift", shift}},
                                    part.name + ".penalty");
    sum = sum == kNoValue ? term : graph.node("add", {sum, term}, {}, "penalty.sum");
  }
  const double factor = 1.0 / static_cast<double>(parts_.size());
  const ValueId mean = graph.node("scale", {sum}, {{"factor", factor}}, "penalty");
  graph.add_output("minimized", graph.node("add", {graph.find("loss"), mean}, {}, "minimized"));
}

void WeightPruning::begin(const HookRun& run) {
  pool_ = &run.pool;
  selector_ = std::make_unique<MaskSelector>(run.pool);
  const auto total = static_cast<double>(run.total_steps);
  schedule_ = {.initial = 0,
               .final = options_.has_target() ? options_.target : 1,
               .begin = static_cast<int64_t>(options_.begin * total),
               .end = static_cast<int64_t>(std::ceil(options_.end * total))};
  learning_rate_ = run.learning_rate;
  if (options_.learns_scores() && learning_rate_ <= 0) usage_error("learning rate", "must be above 0 to learn scores");
  for (Part& part : parts_) {
    for (ParameterSlot& slot : run.slots) {
      if (slot.name == part.name) part.weight = slot.weight;
      if (!options_.learns_scores() || slot.name != scores_of(part.name)) continue;
      part.score_slot = &slot;
      part.scores = slot.weight;
      slot.decay = false;
    }
  }
}

// How much of the way to the target is behind, in [0, 1].
double WeightPruning::progress(int64_t step) const {
  return schedule_.final > 0 ? schedule_.at(step) / schedule_.final : 1;
}

void WeightPruning::set_rates(int64_t step) {
  const bool is_fixed = is_settled(step);
  for (Part& part : parts_) {
    if (part.score_slot == nullptr) continue;
    part.score_slot->rate_factor = is_fixed ? 0 : options_.score_learning_rate / learning_rate_;
  }
  noise_.mutable_data<float>()[0] = is_fixed ? 0.0f : 1.0f;
  penalty_weight_.mutable_data<float>()[0] = is_fixed ? 0.0f : static_cast<float>(options_.lambda() * progress(step));
}

void WeightPruning::before_step(int64_t step) {
  update_masks(step);
  set_rates(step);
}

// After the last of these the masks stay, whatever becomes of the weights.
void WeightPruning::update_masks(int64_t step) {
  sparsity_ = options_.has_target() ? schedule_.at(step) : sparsity_;
  if (step > schedule_.end) return;
  if (!options_.learns_scores()) {
    pool_->parallel_for(std::ssize(parts_), [&](int64_t p, int) {
      Part& part = parts_[static_cast<size_t>(p)];
      magnitude_scores(part.blocks, part.weight.floats(), values_of(part.scores));
    });
  }
  if (options_.has_target()) return select(schedule_.at(step));
  // L0's gates shut by themselves.
  if (options_.method == WeightMethod::kSoftMovement) select_by_threshold(options_.threshold * progress(step));
}

void WeightPruning::select(double sparsity) {
  select_masks(*selector_, scored_parts(), options_, sparsity);
}

std::vector<ScoredPart> WeightPruning::scored_parts() {
  std::vector<ScoredPart> scored;
  for (Part& part : parts_) scored.push_back({part.scores.floats(), values_of(part.mask)});
  return scored;
}

void WeightPruning::select_by_threshold(double threshold) {
  const auto bound = static_cast<float>(std::log(threshold / (1 - threshold)));  // -inf for 0
  int64_t n = 0;
  int64_t n_kept = 0;
  for (Part& part : parts_) {
    std::ranges::transform(part.scores.floats(), values_of(part.mask).begin(),
                           [bound](float score) { return score > bound ? 1.0f : 0.0f; });
    n += part.mask.size();
    n_kept += std::ranges::count(part.mask.floats(), 1.0f);
  }
  sparsity_ = 1 - static_cast<double>(n_kept) / static_cast<double>(n);
}

void WeightPruning::apply_masks() {
  const HardConcrete<float> gates = gate_shape();
  pool_->parallel_for(std::ssize(parts_), [&](int64_t p, int) {
    Part& part = parts_[static_cast<size_t>(p)];
    if (options_.method != WeightMethod::kL0) {
      return mask_in_place(part.blocks, part.mask.floats(), values_of(part.weight));
    }
    Tensor z = part.mask.clone();
    for (int64_t i = 0; i < z.size(); ++i) {
      z.mutable_data<float>()[i] *= gates.gate(gates.quiet(part.scores.data<float>()[i]));
    }
    mask_in_place(part.blocks, z.floats(), values_of(part.weight));
  });
}

void WeightPruning::show(int64_t step) {
  update_masks(step);
  for (Part& part : parts_) part.trained = part.weight.clone();
  apply_masks();
}

void WeightPruning::hide() {
  for (Part& part : parts_) {
    std::ranges::copy(part.trained.floats(), part.weight.mutable_data<float>());
    part.trained = Tensor();
  }
}

void WeightPruning::finish(int64_t step) {
  update_masks(step);
  apply_masks();
}

void WeightPruning::record(Json& options, bool is_distilled) const {
  options.update(flags_to_json(options_, true));
  if (is_distilled) {
    options["distill"] = true;
  } else {
    options.erase("alpha");
    options.erase("temperature");
  }
}

std::string WeightPruning::note() const {
  return fmt::format("sparsity {:.1f} %", 100 * sparsity_);
}

}  // namespace fettle
