#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "train/loop.h"
#include "train/parallel/communicator.h"
#include "train/training_hook.h"

namespace fettle {
namespace {

const char* schedule_name(Schedule schedule) {
  switch (schedule) {
    case Schedule::kConstant:
      return "constant";
    case Schedule::kLinear:
      return "linear";
    case Schedule::kCosine:
      return "cosine";
  }
  return "?";
}

// One string, as a checkpoint's key has them.
std::string describe(const ClassWeights& weights) {
  if (weights.balanced) return "balanced";
  Json table = Json::object();
  for (const auto& [label, weight] : weights.by_label) table[label] = weight;
  return table.empty() ? "none" : table.dump();
}

bool are_fine(const ClassWeights& weights) {
  return std::ranges::all_of(weights.by_label,
                             [](const auto& item) { return std::isfinite(item.second) && item.second >= 0; });
}

void require(bool good, const char* option, const char* rule) {
  if (!good) usage_error(option, std::string("must be ") + rule);
}

}  // namespace

double default_learning_rate(int64_t hidden_size) {
  return std::min(1e-3, 2e-5 * std::pow(768.0 / static_cast<double>(hidden_size), 2.5));
}

TrainOptions resolve_options(const TrainOptions& options, int64_t hidden_size, double factor) {
  TrainOptions o = options;
  if (o.learning_rate < 0) {
    o.learning_rate = factor * default_learning_rate(hidden_size);
    if (factor > 1) o.learning_rate = std::min(o.learning_rate, 7e-4);
  }
  if (o.ranks != nullptr && o.batch_size >= 1) {
    o.batch_size = (o.batch_size + o.ranks->size() - 1) / o.ranks->size();
    o.gradient_accumulation *= o.ranks->size();
  }
  require(std::isfinite(o.epochs) && o.epochs > 0, "epochs", "above 0");
  require(o.max_steps >= 0, "max_steps", "0 or more");
  require(o.batch_size >= 1, "batch_size", "1 or more");
  require(o.gradient_accumulation >= 1, "gradient_accumulation", "1 or more");
  require(std::isfinite(o.learning_rate) && o.learning_rate >= 0, "learning_rate", "0 or more");
  require(std::isfinite(o.weight_decay) && o.weight_decay >= 0, "weight_decay", "0 or more");
  require(o.beta1 >= 0 && o.beta1 < 1, "beta1", "in [0, 1)");
  require(o.beta2 >= 0 && o.beta2 < 1, "beta2", "in [0, 1)");
  require(o.adam_eps > 0, "adam_eps", "above 0");
  require(std::isfinite(o.max_grad_norm) && o.max_grad_norm >= 0, "max_grad_norm", "0 or more");
  require(o.warmup_ratio >= 0 && o.warmup_ratio <= 1, "warmup_ratio", "in [0, 1]");
  require(o.layer_decay > 0 && o.layer_decay <= 1, "layer_decay", "in (0, 1]");
  require(o.ema_decay >= 0 && o.ema_decay < 1, "ema", "in [0, 1)");
  require(o.label_smoothing >= 0 && o.label_smoothing < 1, "label_smoothing", "in [0, 1)");
  require(are_fine(o.class_weights), "class_weights", "0 or more");
  require(o.dropout < 1, "dropout", "below 1");
  require(o.max_length >= 4, "max_length", "4 or more");
  require(o.mask_probability > 0 && o.mask_probability < 1, "mask_probability", "in (0, 1)");
  require(o.alpha >= 0 && o.alpha <= 1, "alpha", "in [0, 1]");
  require(std::isfinite(o.temperature) && o.temperature > 0, "temperature", "above 0");
  require(o.schedule_steps >= 0, "schedule_steps", "0 or more");
  require(o.checkpoint_every >= 0, "checkpoint_every", "0 or more");
  require(o.early_stopping_patience >= 0, "early_stopping_patience", "0 or more");
  require(o.short_sequence_ratio >= 0 && o.short_sequence_ratio <= 1, "short_sequence_ratio", "in [0, 1]");
  return o;
}

Json options_to_json(const TrainOptions& o) {
  return {{"epochs", o.epochs},
          {"max_steps", o.max_steps},
          {"batch_size", o.batch_size},
          {"gradient_accumulation", o.gradient_accumulation},
          {"learning_rate", o.learning_rate},
          {"weight_decay", o.weight_decay},
          {"beta1", o.beta1},
          {"beta2", o.beta2},
          {"adam_eps", o.adam_eps},
          {"max_grad_norm", o.max_grad_norm},
          {"schedule", schedule_name(o.schedule)},
          {"warmup_ratio", o.warmup_ratio},
          {"schedule_steps", o.schedule_steps},
          {"layer_decay", o.layer_decay},
          {"ema", o.ema_decay},
          {"label_smoothing", o.label_smoothing},
          {"class_weights", describe(o.class_weights)},
          {"dropout", o.dropout},
          {"max_length", o.max_length},
          {"early_stopping_patience", o.early_stopping_patience},
          {"keep_best", o.keep_best},
          {"precision", o.precision == Precision::kBF16 ? "bf16" : "f32"},
          {"seed", o.seed},
          {"mask_probability", o.mask_probability},
          {"join_texts", o.join_texts},
          {"short_sequence_ratio", o.short_sequence_ratio},
          {"alpha", o.alpha},
          {"temperature", o.temperature}};
}

void record_training(Model& model, const Objective& objective, const TrainOptions& options, const TrainResult& result,
                     const TrainingHook* hook) {
  // It was fitted on the scores of other weights.
  model.oos_threshold = std::numeric_limits<double>::quiet_NaN();
  if (!model.manifest.is_object()) model.manifest = Json::object();
  Json& steps = model.manifest["steps"];
  if (!steps.is_array()) steps = Json::array();
  Json all_options = options_to_json(options);
  all_options.update(objective.options());
  if (hook != nullptr) hook->record(all_options, objective.verb() == "distill");
  // No times: the same run gives the same bytes.
  Json step{{"verb", hook != nullptr ? hook->verb() : objective.verb()},
            {"options", std::move(all_options)},
            {"seed", options.seed},
            {"data_sha256", objective.data_digest()},
            {"steps", result.steps},
            {"samples", result.samples},
            {"tokens", result.tokens}};
  if (!result.changes.empty()) step["changes"] = result.changes;
  steps.push_back(std::move(step));
}

}  // namespace fettle
