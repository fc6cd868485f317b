#include "base/error.h"
#include "model/model.h"
#include "train/prune/weight_pruning.h"

namespace fettle {

TrainResult prune_in_training(Model& model, const WeightPruneOptions& options, const PruneTraining& training) {
  TrainOptions train_options = training.options;
  if (train_options.learning_rate < 0) train_options.learning_rate = default_learning_rate(model.config.hidden_size);
  const auto teacher = std::make_shared<const Model>(model);
  WeightPruning pruning(model, options);
  if (!training.distill) return train_classifier(model, training.train, training.eval, train_options, &pruning);
  return distill(model, {teacher}, training.train, training.eval, train_options, training.distillation, &pruning);
}

}  // namespace fettle
