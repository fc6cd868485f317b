// fettle predict: text classification.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "cli/app.h"
#include "evaluate/metrics.h"
#include "train/heads.h"

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

double sigmoid(float logit) {
  return 1 / (1 + std::exp(-static_cast<double>(logit)));
}

// Every label whose probability is above 1/2, the likeliest first; `top` as for single labels.
Json label_set_json(const Predictions& predictions, size_t row, const Model& model, int64_t top) {
  const float* logits = predictions.logits.data() + static_cast<int64_t>(row) * predictions.n_labels;
  std::vector<size_t> order(static_cast<size_t>(predictions.n_labels));
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  Json labels = Json::array();
  Json list = Json::array();
  for (const size_t id : order) {
    Json item{{"label", model.config.labels[id]}, {"score", sigmoid(logits[id])}};
    if (logits[id] > 0) labels.push_back(item);
    if (static_cast<int64_t>(list.size()) < top) list.push_back(std::move(item));
  }
  return Json{{"labels", std::move(labels)}, {"top", std::move(list)}};
}

Json numbers_json(const Predictions& predictions, size_t row, const Model& model) {
  const float* values = predictions.logits.data() + static_cast<int64_t>(row) * predictions.n_labels;
  Json by_name = Json::object();
  for (size_t i = 0; i < model.config.labels.size(); ++i) by_name[model.config.labels[i]] = values[i];
  if (predictions.n_labels == 1) return Json{{"value", values[0]}};
  return Json{{"values", std::move(by_name)}};
}

// One line for people.
std::string line_of(const Json& result, ProblemType problem) {
  if (problem == ProblemType::kSingleLabel) {
    return fmt::format("{:<28} {:.4f}{}", result["label"].get<std::string>(), result["score"].get<double>(),
                       result["in_scope"].get<bool>() ? "" : "  out of scope");
  }
  std::string line;
  if (problem == ProblemType::kMultiLabel) {
    for (const Json& item : result["labels"]) {
      line += fmt::format("{}{} {:.4f}", line.empty() ? "" : ", ", item["label"].get<std::string>(),
                          item["score"].get<double>());
    }
    return fmt::format("{:<28}", line.empty() ? "(no label)" : line);
  }
  if (result.contains("value")) return fmt::format("{:<12.6g}", result["value"].get<double>());
  for (const auto& [name, value] : result["values"].items()) {
    line += fmt::format("{}{} {:.6g}", line.empty() ? "" : ", ", name, value.get<double>());
  }
  return line;
}

int run_predict(const PredictCommand& command, const Globals& globals) {
  command.texts.check("predict");
  const auto model = load_shared(command.model);
  if (model->config.labels.empty()) bad_input(command.model, "has no classification head");
  const auto found =
      std::find(model->config.labels.begin(), model->config.labels.end(), command.texts.data_flags.options.oos_name);
  const auto oos =
      found == model->config.labels.end() ? -1 : static_cast<int32_t>(found - model->config.labels.begin());
  const ProblemType problem = model->config.problem;
  const Dataset data = command.texts.read(true, label_kind_of(problem));
  SessionOptions session = globals.session();
  session.packed_cache = command.packed_cache.is_on;
  SessionGroup group(model, session);
  RegimeChoice choice;
  const Predictions predictions = predict(group, data, command.regime.regime(), &choice);
  report_regime(choice, group.n_threads());
  Json results = Json::array();
  std::string lines;
  for (size_t row = 0; row < data.examples.size(); ++row) {
    Json result = problem == ProblemType::kMultiLabel   ? label_set_json(predictions, row, *model, command.top)
                  : problem == ProblemType::kRegression ? numbers_json(predictions, row, *model)
                                                        : result_json(predictions, row, *model, oos, command.top);
    if (globals.json) {
      results.push_back(std::move(result));
      continue;
    }
    lines += line_of(result, problem) + "  " + shown_text(data.examples[row].text);
    const std::string& pair = data.examples[row].text_pair;
    lines += pair.empty() ? "\n" : "  +  " + shown_text(pair) + "\n";
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
  command->texts.add_pair_to(*verb);
  verb->add_option("--top", command->top, "labels listed in the JSON")->check(CLI::Range(1, 1 << 20));
  command->regime.add_to(*verb);
  command->packed_cache.add_to(*verb);
}

}  // namespace fettle::cli
