#include <algorithm>
#include <optional>

#include "base/error.h"
#include "train/classify.h"
#include "train/heads.h"
#include "train/training_hook.h"

namespace fettle {
namespace {

TrainResult run(Model& model, Objective& objective, const TrainOptions& options, Machine& machine, TrainingHook* hook) {
  Trainer trainer(model, objective, options, machine, hook);
  TrainResult result = trainer.run();
  record_training(model, objective, options, result, hook);
  return result;
}

TrainResult train_targets(Model& model, const Dataset& train, const Dataset* eval, const TrainOptions& options,
                          TrainingHook* hook) {
  TargetData data = prepare_targets(model, train, options.max_length);
  std::optional<TargetData> evaluation;
  if (eval != nullptr) evaluation = prepare_targets(model, *eval, options.max_length);
  Machine machine(options);
  TargetObjective objective(model, std::move(data), std::move(evaluation), options, machine);
  return run(model, objective, options, machine, hook);
}

}  // namespace

TrainResult train_classifier(Model& model, const Dataset& train, const Dataset* eval, const TrainOptions& options) {
  return train_classifier(model, train, eval, options, nullptr);
}

TrainResult train_classifier(Model& model, const Dataset& train, const Dataset* eval, const TrainOptions& given,
                             TrainingHook* hook) {
  const TrainOptions options = resolve_options(given, model.config.hidden_size);
  if (model.config.problem != ProblemType::kSingleLabel) return train_targets(model, train, eval, options, hook);
  ClassificationData data = prepare(model, train, options.max_length);
  if (std::find(data.labels.begin(), data.labels.end(), kUnlabelled) != data.labels.end()) {
    bad_input(train.source.empty() ? "data" : train.source, "some examples have no label",
              "unlabelled texts need a teacher: fettle distill");
  }
  std::optional<ClassificationData> evaluation;
  if (eval != nullptr) evaluation = prepare(model, *eval, options.max_length);
  Machine machine(options);
  ClassifierObjective objective(model, std::move(data), std::move(evaluation), options, machine);
  return run(model, objective, options, machine, hook);
}

}  // namespace fettle
