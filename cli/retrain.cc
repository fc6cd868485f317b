#include "cli/retrain.h"

#include <fmt/format.h>

#include "base/error.h"
#include "cli/trials.h"
#include "compress/manifest.h"
#include "evaluate/metrics.h"

namespace fettle::cli {

namespace {

constexpr double kMiB = 1024.0 * 1024.0;

// Of the original and the changed model; an empty object without --eval, and for models that do not give one label.
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

}  // namespace

void add_retrain_flags(CLI::App& verb, PruneCommand& command) {
  verb.add_flag("--distill", command.distill, "retrain with the model as it was as the teacher");
  verb.add_option("--alpha", command.alpha, "with --distill: weight of the hard labels")->check(CLI::Range(0.0, 1.0));
  verb.add_option("--temperature", command.temperature, "with --distill: of the softmax of both")
      ->check(CLI::Range(0.01, 1000.0));
  command.threshold.add_to(verb);
  command.data_flags.add_to(verb);
  command.train_flags.add_to(verb);
}

void check_retrain_flags(const PruneCommand& command) {
  const bool has_steps = command.is_given("--epochs") || command.is_given("--max-steps");
  if (has_steps && command.data.empty()) usage_error("--epochs", "needs --data");
  if (command.distill && !command.trains()) usage_error("--distill", "needs --data and --epochs");
  for (const char* flag : {"--alpha", "--temperature"}) {
    if (command.is_given(flag) && !command.distill) usage_error(flag, "goes with --distill");
  }
  if (command.threshold.fit && command.eval.empty()) usage_error("--fit-threshold", "needs --eval");
}

TrainResult retrain(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                    const Globals& globals) {
  const Dataset train = command.load(command.data, *original);
  Dataset eval;
  if (!command.eval.empty()) eval = command.load(command.eval, *original);
  const Dataset* evaluation = command.eval.empty() ? nullptr : &eval;
  const TrainOptions options = command.train_options(globals);
  if (!command.distill) return train_classifier(model, train, evaluation, options);
  TrainResult result = distill(model, {original}, train, evaluation, options);
  // So that the manifest can be replayed: the teacher is what the step before was made of.
  amend_step(model, {{"student", "{previous}"}}, "parent");
  return result;
}

Json write_changed(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                   const std::optional<TrainResult>& training, const Globals& globals) {
  const Json measured = measure_change(model, original, command, globals);
  if (!measured.empty()) record_measurements(model, measured);
  const double size_mb_before = weights_mb(command.model);
  const int64_t size = save_model(model, command.out, globals.force);
  remove_checkpoints(command.train_flags, command.out);
  Json json = training.has_value() ? to_json(*training) : Json::object();
  json["method"] = command.method;
  json["size_mb_before"] = size_mb_before;
  json["size_mb"] = static_cast<double>(size) / kMiB;
  json["path"] = command.out;
  merge(json, measured);
  return json;
}

std::string change_text(const Json& json, const std::optional<TrainResult>& training) {
  std::string text = training.has_value() ? training_summary(*training) : "";
  if (json.contains("accuracy_before")) {
    text += fmt::format("accuracy {:.4f} -> {:.4f}\n", json["accuracy_before"].get<double>(),
                        json["accuracy"].get<double>());
  }
  return text + fmt::format("{:.2f} -> {:.2f} MiB; wrote {}\n", json["size_mb_before"].get<double>(),
                            json["size_mb"].get<double>(), json["path"].get<std::string>());
}

}  // namespace fettle::cli
