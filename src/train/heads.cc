#include "train/heads.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "train/digest.h"

namespace fettle {
namespace {

constexpr int64_t kEvaluationBatch = 256;

std::string describe(ProblemType problem) {
  switch (problem) {
    case ProblemType::kSingleLabel:
      return "a single-label classifier";
    case ProblemType::kMultiLabel:
      return "a multi-label classifier";
    case ProblemType::kRegression:
      return "a model of numbers (regression)";
  }
  return "?";
}

[[noreturn]] void bad_example(const std::string& where, size_t i, const std::string& what) {
  bad_input(where, "example " + std::to_string(i + 1) + " " + what);
}

// The set as rising ids of the model.
std::vector<int32_t> ids_of_model(const Dataset& data, size_t i, const std::vector<int32_t>& map,
                                  const std::string& where) {
  std::vector<int32_t> ids;
  for (const int32_t label : *data.examples[i].label_set) {
    if (label < 0 || static_cast<size_t>(label) >= map.size()) bad_example(where, i, "has an unknown label");
    const int32_t id = map[static_cast<size_t>(label)];
    if (id == kUnlabelled) {
      bad_input(where, "the model does not have the label '" + data.labels[static_cast<size_t>(label)] + "' (example " +
                           std::to_string(i + 1) + ")");
    }
    ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

void check_model(const Model& model, const Dataset& data, const std::string& where) {
  const ModelConfig& config = model.config;
  if (!model.tokenizer) usage_error("model", "has no tokenizer");
  if (config.labels.empty()) bad_input("model", "has no classification head");
  if (data.examples.empty()) bad_input(where, "holds no examples");
  if (data.label_kind != label_kind_of(config.problem)) {
    bad_input(where, "does not have the labels that " + describe(config.problem) + " needs");
  }
  if (config.problem == ProblemType::kRegression && config.n_labels() != 1) {
    bad_input("model", "has " + std::to_string(config.n_labels()) + " outputs: only one number can be trained");
  }
}

}  // namespace

LabelKind label_kind_of(ProblemType problem) {
  if (problem == ProblemType::kMultiLabel) return LabelKind::kSet;
  return problem == ProblemType::kRegression ? LabelKind::kNumber : LabelKind::kOne;
}

void require_single_label(const ModelConfig& config, const std::string& where, const std::string& purpose) {
  if (config.labels.empty() || config.problem == ProblemType::kSingleLabel) return;
  bad_input(where, "is " + describe(config.problem) + ": " + purpose + " is for single-label classifiers");
}

TargetData prepare_targets(const Model& model, const Dataset& data, int64_t max_length) {
  const std::string where = data.source.empty() ? "data" : data.source;
  check_model(model, data, where);
  const std::vector<int32_t> map = label_ids(model, data);
  const int64_t width = model.config.n_labels();
  TargetData result;
  result.targets = Tensor(DType::kF32, {static_cast<int64_t>(data.examples.size()), width});
  result.truth.label_kind = data.label_kind;
  float* row = result.targets.mutable_data<float>();
  Digest digest;
  for (size_t i = 0; i < data.examples.size(); ++i, row += width) {
    const Example& example = data.examples[i];
    Example& truth = result.truth.examples.emplace_back();
    if (data.label_kind == LabelKind::kSet) {
      if (!example.label_set) bad_example(where, i, "has no labels");
      truth.label_set = ids_of_model(data, i, map, where);
      for (const int32_t id : *truth.label_set) row[id] = 1;
    } else {
      if (std::isnan(example.number)) bad_example(where, i, "has no number");
      truth.number = example.number;
      row[0] = static_cast<float>(example.number);
    }
    digest.add(example.text);
    digest.add(example.text_pair);
    digest.add(std::string_view(reinterpret_cast<const char*>(row), static_cast<size_t>(width) * sizeof(float)));
  }
  result.digest = digest.hex();
  result.texts = tokenize(data, *model.tokenizer, std::min(max_length, model.config.max_positions));
  return result;
}

TargetObjective::TargetObjective(const Model& model, TargetData train, std::optional<TargetData> eval,
                                 const TrainOptions& options, Machine& machine)
    : model_(model),
      train_(std::move(train)),
      eval_(std::move(eval)),
      options_(options),
      machine_(machine),
      batches_(train_.texts.lengths(), options) {
  if (options.class_weights.is_set()) usage_error("class weights", "are for single-label classifiers");
  if (options.label_smoothing > 0) usage_error("label_smoothing", "is for single-label classifiers");
}

std::string TargetObjective::data_digest() const {
  Digest digest;
  digest.add(train_.digest);
  digest.add(eval_ ? eval_->digest : "");
  return digest.hex();
}

Graph TargetObjective::build_loss_graph() const {
  Graph graph = build_graph(with_dropout(model_.config, options_.dropout),
                            {.head = GraphOptions::Head::kClassifier, .training = true});
  const ValueId logits = graph.find("logits");
  const ValueId targets = graph.add_input("targets", graph.type(logits));
  const char* const op = is_regression() ? "mean_squared_error" : "binary_cross_entropy";
  graph.add_output("loss", graph.node(op, {logits, targets}, {}, "loss"));
  return graph;
}

void TargetObjective::load(int64_t index, MicroBatch& batch) {
  const std::span<const int32_t> examples = batches_.batch(index);
  const int64_t width = train_.targets.dim(1);
  Tensor targets(DType::kF32, {static_cast<int64_t>(examples.size()), width});
  float* out = targets.mutable_data<float>();
  tokens_.clear();
  for (const int32_t i : examples) {
    train_.texts.append_to(tokens_, i);
    out = std::copy_n(train_.targets.data<float>() + i * width, width, out);
  }
  bind_tokens(tokens_, model_.config, batch);
  batch.inputs.emplace_back("targets", std::move(targets));
  batch.weight = static_cast<double>(examples.size());
}

double TargetObjective::evaluate() {
  if (!eval_) return -1;
  if (!runner_) runner_ = std::make_unique<LogitsRunner>(model_, options_, machine_);
  const Tensor logits = runner_->run(eval_->texts, kEvaluationBatch);
  if (is_regression()) return std::max(0.0, score_numbers(logits.floats(), eval_->truth).r2);
  return score_label_sets(logits.floats(), model_.config.n_labels(), eval_->truth).micro_f1;
}

// Every label as likely as not; every number the mean.
double TargetObjective::chance_loss() const {
  if (!is_regression()) return std::log(2.0);
  const std::span<const float> numbers = train_.targets.floats();
  double mean = 0;
  for (const float number : numbers) mean += static_cast<double>(number) / static_cast<double>(numbers.size());
  double variance = 0;
  for (const float number : numbers) variance += std::pow(static_cast<double>(number) - mean, 2);
  return variance / static_cast<double>(numbers.size());
}

}  // namespace fettle
