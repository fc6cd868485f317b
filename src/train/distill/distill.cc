// Knowledge distillation (Hinton, Vinyals & Dean 2015).
#include <algorithm>
#include <optional>

#include "base/cancel.h"
#include "base/error.h"
#include "base/progress.h"
#include "runtime/session.h"
#include "train/classify.h"

namespace fettle {
namespace {

constexpr int64_t kTeacherBatch = 64;

// For each label of the student its column in the teacher's logits.
std::vector<int64_t> match_labels(const ModelConfig& student, const ModelConfig& teacher) {
  std::vector<int64_t> columns;
  for (const std::string& label : student.labels) {
    const auto found = std::find(teacher.labels.begin(), teacher.labels.end(), label);
    if (found == teacher.labels.end()) bad_input("teacher", "does not know the student's label '" + label + "'");
    columns.push_back(found - teacher.labels.begin());
  }
  if (teacher.labels.size() != student.labels.size()) {
    bad_input("teacher", "has " + std::to_string(teacher.labels.size()) + " labels, the student " +
                             std::to_string(student.labels.size()));
  }
  return columns;
}

// Adds the teacher's logits · share to `sum` [n, n_labels], columns in the student's order.
void add_logits(const std::shared_ptr<const Model>& teacher, const Dataset& data, const std::vector<int64_t>& columns,
                double share, const TrainOptions& options, Tensor& sum) {
  Session session(teacher, {.n_threads = options.n_threads, .isa = options.isa, .precision = options.precision});
  const int64_t max_length = std::min(options.max_length, teacher->config.max_positions);
  const TokenizedTexts texts = tokenize(data, *teacher->tokenizer, max_length);
  const BatchPlan plan = evaluation_batches(texts.lengths(), kTeacherBatch);
  const int64_t width = sum.dim(1);
  float* out = sum.mutable_data<float>();
  Progress progress("teacher logits", texts.size(), "texts");
  RaggedBatch tokens;
  for (int64_t b = 0; b < plan.n_batches(); ++b) {
    throw_if_cancelled();
    tokens.clear();
    for (int32_t i : plan.batch(b)) texts.append_to(tokens, i);
    const Tensor logits = session.classify(tokens);
    const float* row = logits.data<float>();
    for (int32_t i : plan.batch(b)) {
      for (int64_t c = 0; c < width; ++c) out[i * width + c] += static_cast<float>(share) * row[columns[c]];
      row += width;
    }
    progress.advance(static_cast<int64_t>(plan.batch(b).size()));
  }
  progress.finish();
}

Tensor teacher_logits(const Model& student, const std::vector<std::shared_ptr<const Model>>& teachers,
                      const Dataset& data, const TrainOptions& options) {
  Tensor sum(DType::kF32, {static_cast<int64_t>(data.examples.size()), student.config.n_labels()});
  for (const std::shared_ptr<const Model>& teacher : teachers) {
    if (!teacher || !teacher->tokenizer) usage_error("teacher", "has no tokenizer");
    add_logits(teacher, data, match_labels(student.config, teacher->config), 1.0 / static_cast<double>(teachers.size()),
               options, sum);
  }
  return sum;
}

// Empty lines of a text file teach nothing.
Dataset without_empty_texts(const Dataset& data) {
  Dataset result = data;
  std::erase_if(result.examples, [](const Example& e) { return e.label == kUnlabelled && e.text.empty(); });
  return result;
}

}  // namespace

TrainResult distill(Model& student, const std::vector<std::shared_ptr<const Model>>& teachers,
                    const Dataset& train_data, const Dataset* eval, const TrainOptions& given) {
  const TrainOptions options = resolve_options(given, student.config.hidden_size);
  if (teachers.empty()) usage_error("distill", "needs a teacher");
  const Dataset train = without_empty_texts(train_data);
  ClassificationData data = prepare(student, train, options.max_length);
  std::optional<ClassificationData> evaluation;
  if (eval != nullptr) evaluation = prepare(student, *eval, options.max_length);
  DistillationTerm term{.teacher_logits = teacher_logits(student, teachers, train, options),
                        .alpha = options.alpha,
                        .temperature = options.temperature};
  Machine machine(options);
  ClassifierObjective objective(student, std::move(data), std::move(evaluation), options, machine, std::move(term));
  Trainer trainer(student, objective, options, machine);
  TrainResult result = trainer.run();
  record_training(student, objective, options, result);
  return result;
}

}  // namespace fettle
