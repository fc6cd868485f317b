// Distillation in pre-training (DistilBERT, Sanh et al. 2019): the teacher sees the same masked batch.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/sha256.h"
#include "runtime/executor.h"
#include "train/digest.h"
#include "train/distill/compatibility.h"
#include "train/distill/distillation_loss.h"
#include "train/distill/taps.h"
#include "train/loop.h"
#include "train/pretrain.h"

namespace fettle {
namespace {

constexpr const char* kTeacherLogits = "teacher_logits";
constexpr const char* kTeacherHidden = "teacher_hidden";

Tap last_hidden(const ModelConfig& config) {
  return {TapKind::kHidden, std::ssize(config.layers) - 1};
}

// Logits of the masked tokens and last hidden states of all.
class MaskedTeacher {
 public:
  MaskedTeacher(const Model& teacher, const TrainOptions& options, Machine& machine)
      : config_(teacher.config),
        executor_(
            graph_of(config_),
            [&teacher](std::string_view name) -> const EncodedTensor& { return teacher.parameters.get(name); },
            ExecutorOptions{.pool = &machine.pool, .table = &machine.table, .precision = options.precision}) {}

  // Valid until the next run.
  void run(const MaskedBatch& masked, MicroBatch& student_batch) {
    bind_tokens(masked.tokens, config_, batch_);
    for (const auto& [name, value] : batch_.inputs) executor_.set_input(name, value);
    executor_.set_input("masked_positions", view_i32(masked.masked_positions));
    executor_.run();
    student_batch.inputs.emplace_back(kTeacherLogits, executor_.output("logits"));
    student_batch.inputs.emplace_back(kTeacherHidden, executor_.output(kTeacherHidden));
  }

 private:
  static Graph graph_of(const ModelConfig& config) {
    Graph graph = build_graph(config, {.head = GraphOptions::Head::kMaskedLm});
    graph.add_output(kTeacherHidden, find_tap(graph, config, last_hidden(config)));
    return graph;
  }

  ModelConfig config_;
  Executor executor_;
  MicroBatch batch_;
};

class MaskedDistillation : public PretrainObjective {
 public:
  MaskedDistillation(const Model& student, const Model& teacher, const std::vector<std::string>& texts,
                     const MaskingOptions& masking, const TrainOptions& options, const MaskedDistillOptions& weights,
                     Machine& machine)
      : PretrainObjective(with_dropout(student.config, options.dropout), texts, *student.tokenizer, masking),
        student_(student),
        teacher_(teacher),
        temperature_(options.temperature),
        weights_(weights),
        runner_(teacher, options, machine) {}

  std::string_view verb() const override { return "distill"; }
  Json options() const override {
    return {{"objective", "mlm"},
            {"mlm_weight", weights_.mlm_weight},
            {"kd_weight", weights_.kd_weight},
            {"cosine_weight", weights_.cosine_weight},
            {"teacher_sha256", teacher_digest()}};
  }

  Graph build_loss_graph() const override {
    Graph graph = build_graph(config(), kMaskedLmTraining);
    const ValueId labels = graph.add_input("masked_labels", {DType::kI32, {graph.symbol("masked")}});
    const ValueId logits = graph.find("logits");
    const ValueId hard = graph.add_nodes("softmax_cross_entropy", {logits, labels}, {}, "mlm")[0];
    const ValueId teacher_logits = graph.add_input(kTeacherLogits, graph.type(logits));
    const ValueId soft =
        graph.node("distillation_loss", {logits, teacher_logits}, {{"temperature", temperature_}}, "kd");
    ValueId hidden = find_tap(graph, config(), last_hidden(config()));
    if (student_.parameters.has(kHiddenProjection)) {
      const ValueId weight = graph.add_parameter(kHiddenProjection, student_.parameters.get(kHiddenProjection).shape);
      hidden = graph.node("linear", {hidden, weight}, {}, kHiddenProjection);
    }
    const ValueId teacher_hidden = graph.add_input(kTeacherHidden, graph.type(hidden));
    const ValueId cosine = graph.node("cosine_loss", {hidden, teacher_hidden}, {}, "cosine");
    const double sum = weights_.mlm_weight + weights_.kd_weight + weights_.cosine_weight;
    const auto weighted = [&](ValueId loss, double weight, const std::string& name) {
      graph.add_output(name, loss);
      return graph.node("scale", {loss}, {{"factor", weight / sum}}, name + ".weighted");
    };
    const ValueId of_words = graph.node(
        "add", {weighted(hard, weights_.mlm_weight, "mlm_loss"), weighted(soft, weights_.kd_weight, "kd_loss")});
    graph.add_output("loss", graph.node("add", {of_words, weighted(cosine, weights_.cosine_weight, "cosine_loss")}));
    return graph;
  }

  void load(int64_t index, MicroBatch& batch) override {
    PretrainObjective::load(index, batch);
    runner_.run(masked(), batch);
  }

 private:
  std::string teacher_digest() const {
    Digest digest;
    for (const std::string& name : teacher_.parameters.names()) {
      const Tensor& values = teacher_.parameters.get(name).data;
      digest.add(name);
      digest.add(sha256_hex({static_cast<const std::byte*>(values.raw()), static_cast<size_t>(values.size_bytes())}));
    }
    return digest.hex();
  }

  const Model& student_;
  const Model& teacher_;
  double temperature_;
  MaskedDistillOptions weights_;
  MaskedTeacher runner_;
};

void check_teacher(const Model& student, const Model& teacher) {
  if (!student.tokenizer) usage_error("student", "has no tokenizer");
  if (!teacher.tokenizer) usage_error("teacher", "has no tokenizer");
  for (const auto& [name, shape] : parameter_shapes(teacher.config, {.head = GraphOptions::Head::kMaskedLm})) {
    if (teacher.parameters.has(name)) continue;
    bad_input("teacher", "has no masked-word head: '" + name + "' is missing",
              "a teacher for this objective is a pre-trained encoder, not a classifier: fettle train --objective mlm");
  }
  check_vocabulary(student, teacher);
  if (student.config.vocab_size != teacher.config.vocab_size) {
    bad_input("teacher", "has a table of " + std::to_string(teacher.config.vocab_size) + " words, the student of " +
                             std::to_string(student.config.vocab_size));
  }
}

void check_weights(const MaskedDistillOptions& o) {
  for (const double weight : {o.mlm_weight, o.kd_weight, o.cosine_weight}) {
    if (!std::isfinite(weight) || weight < 0) usage_error("distill", "weights of the losses must be 0 or more");
  }
  if (o.mlm_weight + o.kd_weight + o.cosine_weight <= 0) usage_error("distill", "all weights of the losses are 0");
}

}  // namespace

TrainResult distill_masked_lm(Model& student, const Model& teacher, const std::vector<std::string>& texts,
                              const TrainOptions& given, const MaskedDistillOptions& weights) {
  const TrainOptions options = resolve_options(given, student.config.hidden_size, 5);
  check_weights(weights);
  check_teacher(student, teacher);
  add_missing_head(student, options.seed);
  const int64_t max_length = std::min({options.max_length, student.config.max_positions, teacher.config.max_positions});
  Machine machine(options);
  FeaturePlan plan;
  plan.hidden.push_back(
      {.student = std::ssize(student.config.layers) - 1, .teacher = std::ssize(teacher.config.layers) - 1});
  const Projections projections(student, teacher, plan, options, machine);
  MaskedDistillation objective(student, teacher, texts, masking_of(options, max_length), options, weights, machine);
  Trainer trainer(student, objective, options, machine);
  TrainResult result = trainer.run();
  record_training(student, objective, options, result);
  return result;
}

}  // namespace fettle
