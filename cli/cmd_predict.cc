// fettle predict: text classification.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <numeric>

#include "base/cancel.h"
#include "base/error.h"
#include "base/file.h"
#include "cli/app.h"
#include "data/rows.h"
#include "evaluate/metrics.h"

namespace fettle::cli {

namespace {

struct PredictCommand {
  std::string model;
  std::vector<std::string> texts;
  std::string data;
  int64_t top = 3;
  RegimeFlag regime;
  DataFlags data_flags;
};

void read_standard_input(Dataset& data) {
  data.source = "standard input";
  for (std::string line; std::getline(std::cin, line);) data.examples.push_back({line, "", kUnlabelled});
  // Ctrl-C ends a read that waits; it is not the end of the input.
  throw_if_cancelled();
}

Dataset texts_of(const PredictCommand& command) {
  Dataset data;
  data.source = "texts";
  for (const std::string& text : command.texts) data.examples.push_back({text, "", kUnlabelled});
  if (!command.data.empty()) {
    return load_dataset(command.data, command.data_flags.resolve());
  }
  if (command.texts.empty()) read_standard_input(data);
  if (data.examples.empty()) bad_input(data.source, "holds no text");
  for (const Example& example : data.examples) require_utf8(example.text, data.source);
  return data;
}

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
  if (!command.data.empty() && !command.texts.empty()) usage_error("predict", "takes texts or --data, not both");
  const auto model = load_shared(command.model);
  if (model->config.labels.empty()) bad_input(command.model, "has no classification head");
  const auto found =
      std::find(model->config.labels.begin(), model->config.labels.end(), command.data_flags.options.oos_name);
  const auto oos =
      found == model->config.labels.end() ? -1 : static_cast<int32_t>(found - model->config.labels.begin());
  const Dataset data = texts_of(command);
  SessionGroup group(model, globals.session());
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
  verb->add_option("text", command->texts, "texts");
  verb->add_option("--data", command->data, "data file instead of texts");
  verb->add_option("--top", command->top, "labels listed in the JSON")->check(CLI::Range(1, 1 << 20));
  command->regime.add_to(*verb);
  command->data_flags.add_to(*verb);
}

}  // namespace fettle::cli
