#include "train/classify.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "base/cancel.h"
#include "base/error.h"
#include "train/class_weights.h"
#include "train/digest.h"
#include "train/heads.h"

namespace fettle {
namespace {

constexpr int64_t kEvaluationBatch = 256;

}  // namespace

std::vector<int32_t> label_ids(const Model& model, const Dataset& data) {
  std::unordered_map<std::string, int32_t> ids;
  for (size_t i = 0; i < model.config.labels.size(); ++i) ids[model.config.labels[i]] = static_cast<int32_t>(i);
  std::vector<int32_t> map;
  for (const std::string& label : data.labels) {
    const auto found = ids.find(label);
    map.push_back(found == ids.end() ? kUnlabelled : found->second);
  }
  return map;
}

ClassificationData prepare(const Model& model, const Dataset& data, int64_t max_length) {
  const std::string where = data.source.empty() ? "data" : data.source;
  if (!model.tokenizer) usage_error("model", "has no tokenizer");
  if (model.config.labels.empty()) bad_input("model", "has no classification head");
  require_single_label(model.config, "model", "this training");
  if (data.examples.empty()) bad_input(where, "holds no examples");
  const std::vector<int32_t> map = label_ids(model, data);
  ClassificationData result;
  Digest digest;
  for (size_t i = 0; i < data.examples.size(); ++i) {
    const Example& example = data.examples[i];
    int32_t label = kUnlabelled;
    if (example.label != kUnlabelled) {
      if (example.label < 0 || static_cast<size_t>(example.label) >= map.size()) {
        bad_input(where, "example " + std::to_string(i + 1) + " has a label outside the data set's list");
      }
      label = map[example.label];
      if (label == kUnlabelled) {
        bad_input(where, "the model does not have the label '" + data.labels[example.label] + "' (example " +
                             std::to_string(i + 1) + ")");
      }
    }
    result.labels.push_back(label);
    digest.add(example.text);
    digest.add(example.text_pair);
    digest.add(int64_t{label});
  }
  result.digest = digest.hex();
  result.texts = tokenize(data, *model.tokenizer, std::min(max_length, model.config.max_positions));
  return result;
}

LogitsRunner::LogitsRunner(const Model& model, const TrainOptions& options, Machine& machine)
    : graph_(build_graph(model.config, {.head = GraphOptions::Head::kClassifier})),
      executor_(
          graph_, [&model](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
          ExecutorOptions{.pool = &machine.pool,
                          .table = &machine.table,
                          .precision = options.precision,
                          .pack_parameters = false}),
      config_(model.config),
      n_labels_(model.config.n_labels()) {}

Tensor LogitsRunner::run(const TokenizedTexts& texts, int64_t batch_size) {
  Tensor result(DType::kF32, {texts.size(), n_labels_});
  float* out = result.mutable_data<float>();
  const BatchPlan plan = evaluation_batches(texts.lengths(), batch_size);
  RaggedBatch tokens;
  MicroBatch batch;
  for (int64_t b = 0; b < plan.n_batches(); ++b) {
    throw_if_cancelled();
    tokens.clear();
    for (int32_t i : plan.batch(b)) texts.append_to(tokens, i);
    bind_tokens(tokens, config_, batch);
    for (const auto& [name, value] : batch.inputs) executor_.set_input(name, value);
    executor_.run();
    const Tensor logits = executor_.output("logits");
    const float* row = logits.data<float>();
    for (int32_t i : plan.batch(b)) {
      std::memcpy(out + i * n_labels_, row, static_cast<size_t>(n_labels_) * sizeof(float));
      row += n_labels_;
    }
  }
  return result;
}

double LogitsRunner::accuracy(const ClassificationData& data, int64_t batch_size) {
  const Tensor logits = run(data.texts, batch_size);
  int64_t right = 0;
  int64_t labelled = 0;
  for (int64_t i = 0; i < data.size(); ++i) {
    if (data.labels[i] == kUnlabelled) continue;
    const float* row = logits.data<float>() + i * n_labels_;
    right += std::max_element(row, row + n_labels_) - row == data.labels[i];
    ++labelled;
  }
  return labelled == 0 ? -1.0 : static_cast<double>(right) / static_cast<double>(labelled);
}

ClassifierObjective::ClassifierObjective(const Model& model, ClassificationData train,
                                         std::optional<ClassificationData> eval, const TrainOptions& options,
                                         Machine& machine, std::unique_ptr<TeacherLoss> teacher)
    : model_(model),
      train_(std::move(train)),
      eval_(std::move(eval)),
      options_(options),
      machine_(machine),
      teacher_(std::move(teacher)),
      batches_(train_.texts.lengths(), options),
      class_weights_(weigh_classes(options.class_weights, model.config.labels, train_.labels)) {}

std::string ClassifierObjective::data_digest() const {
  Digest digest;
  digest.add(train_.digest);
  digest.add(eval_ ? eval_->digest : "");
  if (teacher_) digest.add(teacher_->digest());
  return digest.hex();
}

Json ClassifierObjective::options() const {
  return teacher_ ? teacher_->options() : Json::object();
}

Graph ClassifierObjective::build_loss_graph() const {
  Graph graph = build_graph(with_dropout(model_.config, options_.dropout),
                            {.head = GraphOptions::Head::kClassifier, .training = true});
  const ValueId logits = graph.find("logits");
  const Dim batch = graph.symbol("batch");
  const ValueId labels = graph.add_input("labels", {DType::kI32, {batch}});
  std::vector<ValueId> inputs{logits, labels};
  if (!class_weights_.empty()) {
    inputs.push_back(graph.add_constant("class_weights", Tensor::from(class_weights_, {model_.config.n_labels()})));
  }
  ValueId loss = graph.add_nodes("softmax_cross_entropy", inputs, {{"label_smoothing", options_.label_smoothing}},
                                 "cross_entropy")[0];
  if (teacher_) loss = teacher_->add_to(graph, loss);
  graph.add_output("loss", loss);
  return graph;
}

void ClassifierObjective::load(int64_t index, MicroBatch& batch) {
  const std::span<const int32_t> examples = batches_.batch(index);
  tokens_.clear();
  labels_.clear();
  double labelled = 0;
  for (int32_t i : examples) {
    train_.texts.append_to(tokens_, i);
    labels_.push_back(train_.labels[i]);
    labelled += weight_of(train_.labels[i]);
  }
  bind_tokens(tokens_, model_.config, batch);
  batch.inputs.emplace_back("labels", view_i32(labels_));
  batch.weight = teacher_ ? static_cast<double>(examples.size()) : labelled;
  if (teacher_) teacher_->load(examples, batch);
}

double ClassifierObjective::weight_of(int32_t label) const {
  if (label == kUnlabelled) return 0;
  return class_weights_.empty() ? 1 : static_cast<double>(class_weights_[static_cast<size_t>(label)]);
}

double ClassifierObjective::chance_loss() const {
  return std::log(static_cast<double>(model_.config.n_labels()));
}

double ClassifierObjective::evaluate() {
  if (!eval_) return -1;
  if (!runner_) runner_ = std::make_unique<LogitsRunner>(model_, options_, machine_);
  return runner_->accuracy(*eval_, kEvaluationBatch);
}

}  // namespace fettle
