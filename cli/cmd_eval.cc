// fettle eval: quality of a model on labelled data.
#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "cli/app.h"
#include "evaluate/metrics.h"

namespace fettle::cli {

namespace {

struct EvalCommand {
  std::string model;
  std::string metric = "accuracy";
  std::string data;
  RegimeFlag regime;
  PackedCacheFlag packed_cache;
  DataFlags data_flags;
};

double pick(const Quality& quality, const std::string& metric) {
  if (metric == "in-scope-accuracy") return quality.in_scope_accuracy;
  if (metric == "oos-recall") return quality.oos_recall;
  if (metric == "oos-f1") return quality.oos_f1;
  if (metric == "macro-f1") return quality.macro_f1;
  if (metric == "ece") return quality.ece;
  return quality.accuracy;
}

int run_eval(const EvalCommand& command, const Globals& globals) {
  const auto model = load_shared(command.model);
  DataOptions options = command.data_flags.resolve();
  options.labels = model->config.labels;
  const Dataset data = load_dataset(command.data, options);
  SessionOptions session = globals.session();
  session.packed_cache = command.packed_cache.is_on;
  SessionGroup group(model, session);
  RegimeChoice choice;
  const Predictions raw = predict(group, data, command.regime.regime(), &choice);
  report_regime(choice, group.n_threads());
  const Predictions predictions = apply_threshold(raw, model->oos_threshold, data.oos_label);
  const Quality quality = measure_quality(predictions, data);
  const double value = pick(quality, command.metric);
  if (value < 0) bad_input(command.data, "holds no out-of-scope examples, which " + command.metric + " is measured on");
  if (globals.json) {
    print_json(Json{{"metric", command.metric}, {"value", value}, {"n", quality.n}});
  } else {
    print(fmt::format("{} {:.4f} over {} examples\n", command.metric, value, quality.n));
  }
  return 0;
}

}  // namespace

void add_eval(Program& program) {
  auto command = std::make_shared<EvalCommand>();
  CLI::App* verb = program.add_verb("eval", "quality of a model on labelled data",
                                    [command, &program] { return run_eval(*command, program.globals()); });
  verb->add_option("model", command->model, "model folder")->required();
  verb->add_option("--metric", command->metric, "accuracy, in-scope-accuracy, oos-recall, oos-f1, macro-f1, ece")
      ->check(CLI::IsMember({"accuracy", "in-scope-accuracy", "oos-recall", "oos-f1", "macro-f1", "ece"}));
  verb->add_option("--data", command->data, "labelled data")->required();
  command->regime.add_to(*verb);
  command->packed_cache.add_to(*verb);
  command->data_flags.add_to(*verb);
}

}  // namespace fettle::cli
