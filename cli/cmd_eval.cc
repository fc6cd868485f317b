// fettle eval: quality of a model on labelled data.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "cli/app.h"
#include "data/scores.h"
#include "evaluate/metrics.h"
#include "train/heads.h"

namespace fettle::cli {

namespace {

struct EvalCommand {
  std::string model;
  std::string metric;
  std::string data;
  RegimeFlag regime;
  PackedCacheFlag packed_cache;
  DataFlags data_flags;
};

constexpr std::array<std::string_view, 6> kSingleLabelMetrics = {"accuracy", "in-scope-accuracy", "oos-recall",
                                                                 "oos-f1",   "macro-f1",          "ece"};
constexpr std::array<std::string_view, 3> kMultiLabelMetrics = {"micro-f1", "macro-f1", "subset-accuracy"};
constexpr std::array<std::string_view, 4> kNumberMetrics = {"r2", "mse", "pearson", "spearman"};

std::span<const std::string_view> metrics_of(ProblemType problem) {
  if (problem == ProblemType::kMultiLabel) return kMultiLabelMetrics;
  if (problem == ProblemType::kRegression) return kNumberMetrics;
  return kSingleLabelMetrics;
}

// The metric asked for, or the first of those that the problem has.
std::string metric_of(const EvalCommand& command, ProblemType problem) {
  const auto metrics = metrics_of(problem);
  if (command.metric.empty()) return std::string(metrics[0]);
  if (std::ranges::find(metrics, command.metric) != metrics.end()) return command.metric;
  usage_error("--metric", command.metric + " is not for models of " + std::string(problem_name(problem)),
              fmt::format("these have {}", fmt::join(metrics, ", ")));
}

// Value and number of examples, for models of label sets and numbers.
std::pair<double, int64_t> measure(const Predictions& predictions, const Dataset& data, const std::string& metric) {
  if (data.label_kind == LabelKind::kSet) {
    const LabelSetScores scores = score_label_sets(predictions.logits, predictions.n_labels, data);
    if (metric == "macro-f1") return {scores.macro_f1, scores.n};
    return {metric == "subset-accuracy" ? scores.subset_accuracy : scores.micro_f1, scores.n};
  }
  if (predictions.n_labels != 1) bad_input("model", "has more than one output: only one number can be measured");
  const NumberScores scores = score_numbers(predictions.logits, data);
  if (metric == "mse") return {scores.mse, scores.n};
  if (metric == "pearson") return {scores.pearson, scores.n};
  return {metric == "spearman" ? scores.spearman : scores.r2, scores.n};
}

double pick(const Quality& quality, const std::string& metric) {
  if (metric == "in-scope-accuracy") return quality.in_scope_accuracy;
  if (metric == "oos-recall") return quality.oos_recall;
  if (metric == "oos-f1") return quality.oos_f1;
  if (metric == "macro-f1") return quality.macro_f1;
  if (metric == "ece") return quality.ece;
  return quality.accuracy;
}

void print_value(const std::string& metric, double value, int64_t n, const Globals& globals) {
  if (globals.json) {
    print_json(Json{{"metric", metric}, {"value", value}, {"n", n}});
  } else {
    print(fmt::format("{} {:.4f} over {} examples\n", metric, value, n));
  }
}

int run_eval(const EvalCommand& command, const Globals& globals) {
  const auto model = load_shared(command.model);
  if (model->config.labels.empty()) bad_input(command.model, "has no classification head");
  const ProblemType problem = model->config.problem;
  const std::string metric = metric_of(command, problem);
  DataOptions options = command.data_flags.resolve(label_kind_of(problem));
  options.labels = model->config.labels;
  const Dataset data = load_dataset(command.data, options);
  SessionOptions session = globals.session();
  session.packed_cache = command.packed_cache.is_on;
  SessionGroup group(model, session);
  RegimeChoice choice;
  const Predictions raw = predict(group, data, command.regime.regime(), &choice);
  report_regime(choice, group.n_threads());
  if (problem != ProblemType::kSingleLabel) {
    const auto [value, n] = measure(raw, data, metric);
    if (n == 0) bad_input(command.data, "holds no labels", "evaluation needs labels");
    print_value(metric, value, n, globals);
    return 0;
  }
  const Predictions predictions = apply_threshold(raw, model->oos_threshold, data.oos_label);
  const Quality quality = measure_quality(predictions, data);
  const double value = pick(quality, metric);
  if (value < 0) bad_input(command.data, "holds no out-of-scope examples, which " + metric + " is measured on");
  print_value(metric, value, quality.n, globals);
  return 0;
}

}  // namespace

void add_eval(Program& program) {
  auto command = std::make_shared<EvalCommand>();
  CLI::App* verb = program.add_verb("eval", "quality of a model on labelled data",
                                    [command, &program] { return run_eval(*command, program.globals()); });
  verb->add_option("model", command->model, "model folder")->required();
  verb->add_option("--metric", command->metric,
                   "accuracy, in-scope-accuracy, oos-recall, oos-f1, macro-f1, ece; of multi-label models micro-f1, "
                   "macro-f1, subset-accuracy; of regression r2, mse, pearson, spearman")
      ->check(CLI::IsMember({"accuracy", "in-scope-accuracy", "oos-recall", "oos-f1", "macro-f1", "ece", "micro-f1",
                             "subset-accuracy", "r2", "mse", "pearson", "spearman"}));
  verb->add_option("--data", command->data, "labelled data")->required();
  command->regime.add_to(*verb);
  command->packed_cache.add_to(*verb);
  command->data_flags.add_to(*verb);
}

}  // namespace fettle::cli
