// fettle predict: text classification.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "cli/app.h"
#include "evaluate/metrics.h"

namespace fettle::cli {

namespace {

struct PredictCommand {
  std::string model;
  TextFlags texts;
  int64_t top = 3;
  RegimeFlag regime;
  PackedCacheFlag packed_cache;
};

Json result_json(const Predictions& predictions, size_t row, const Model& model, int32_t oos, int64_t top) {
  const std::vector<std::string>& labels = model.config.labels;
  const float* logits = predictions.logits.data() + static_cast<int64_t>(row) * predictions.n_labels;
  std::vector<int64_t> order(static_cast<size_t>(predictions.n_labels));
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto n_top = static_cast<int64_t>(std::min<size_t>(order.size(), static_cast<size_t>(top)));
  std::partial_sort(order.begin(), order.begin() + n_top, order.end(),
                    [&](int64_t a, int64_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  const float best = logits[order[0]];
  Json list = Json::array();
  for (int64_t i = 0; i < n_top; ++i) {
    const double score = predictions.scores[row] * std::exp(logits[order[static_cast<size_t>(i)]] - best);
    list.push_back(Json{{"label", labels[static_cast<size_t>(order[static_cast<size_t>(i)])]}, {"score", score}});
  }
  const bool known = std::isnan(model.oos_threshold) || predictions.scores[row] >= model.oos_threshold;
  const int32_t label = known || oos < 0 ? predictions.labels[row] : oos;
  return Json{{"label", labels[static_cast<size_t>(label)]},
              {"score", predictions.scores[row]},
              {"top", std::move(list)},
              {"in_scope", known && label != oos}};
}

int run_predict(const PredictCommand& command, const Globals& globals) {
  command.texts.check("predict");
  const auto model = load_shared(command.model);
  if (model->config.labels.empty()) bad_input(command.model, "has no classification head");
  const auto found =
      std::find(model->config.labels.begin(), model->config.labels.end(), command.texts.data_flags.options.oos_name);
  const auto oos =
      found == model->config.labels.end() ? -1 : static_cast<int32_t>(found - model->config.labels.begin());
  const Dataset data = command.texts.read(true);
  SessionOptions session = globals.session();
  session.packed_cache = command.packed_cache.is_on;
  SessionGroup group(model, session);
  RegimeChoice choice;
  const Predictions predictions = predict(group, data, command.regime.regime(), &choice);
  report_regime(choice, group.n_threads());
  Json results = Json::array();
  std::string lines;
  for (size_t row = 0; row < data.examples.size(); ++row) {
    const Json result = result_json(predictions, row, *model, oos, command.top);
    if (globals.json) {
      results.push_back(result);
      continue;
    }
    lines += fmt::format("{:<28} {:.4f}{}  {}\n", result["label"].get<std::string>(), result["score"].get<double>(),
                         result["in_scope"].get<bool>() ? "" : "  out of scope", shown_text(data.examples[row].text));
  }
  if (globals.json) {
    print_json(Json{{"results", std::move(results)}});
  } else {
    print(lines);
  }
  return 0;
}

}  // namespace

void add_predict(Program& program) {
  auto command = std::make_shared<PredictCommand>();
  CLI::App* verb = program.add_verb("predict", "classify texts (arguments, --data, or lines of standard input)",
                                    [command, &program] { return run_predict(*command, program.globals()); });
  verb->add_option("model", command->model, "model folder")->required();
  command->texts.add_to(*verb);
  verb->add_option("--top", command->top, "labels listed in the JSON")->check(CLI::Range(1, 1 << 20));
  command->regime.add_to(*verb);
  command->packed_cache.add_to(*verb);
}

}  // namespace fettle::cli
