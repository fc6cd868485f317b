#include "cli/retrain.h"

#include "evaluate/metrics.h"

namespace fettle::cli {

TrainResult retrain(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                    const Globals& globals) {
  const Dataset train = command.load(command.data, *original);
  Dataset eval;
  if (!command.eval.empty()) eval = command.load(command.eval, *original);
  const Dataset* evaluation = command.eval.empty() ? nullptr : &eval;
  const TrainOptions options = command.train_options(globals);
  if (!command.distill) return train_classifier(model, train, evaluation, options);
  return distill(model, {original}, train, evaluation, options);
}

Json measure_change(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                    const Globals& globals) {
  if (command.eval.empty() || model.config.labels.empty()) return Json::object();
  if (model.config.problem != ProblemType::kSingleLabel) return Json::object();
  const Dataset eval = command.load(command.eval, *original);
  command.threshold.apply(model, eval, globals);
  const auto accuracy = [&](const std::shared_ptr<const Model>& of) {
    Session session(of, globals.session());
    return measure_quality(predict(session, eval), eval).accuracy;
  };
  return {{"accuracy_before", accuracy(original)}, {"accuracy", accuracy(std::make_shared<const Model>(model))}};
}

}  // namespace fettle::cli
