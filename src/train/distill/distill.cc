// Knowledge distillation of classifiers.
#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "data/augment.h"
#include "train/classify.h"
#include "train/distill/compatibility.h"
#include "train/distill/distillation_loss.h"
#include "train/training_hook.h"

namespace fettle {
namespace {

// Empty lines of a text file teach nothing.
Dataset without_empty_texts(const Dataset& data) {
  Dataset result = data;
  std::erase_if(result.examples, [](const Example& e) { return e.label == kUnlabelled && e.text.empty(); });
  return result;
}

Dataset training_data(const Dataset& given, const DistillOptions& options, uint64_t seed) {
  Dataset data = without_empty_texts(given);
  if (options.augment == 0) return data;
  std::vector<Example> more = augment(data, {.per_text = options.augment, .seed = seed});
  log_info(std::to_string(more.size()) + " new texts, which only the teacher labels");
  std::ranges::move(more, std::back_inserter(data.examples));
  return data;
}

void check_teachers(const Model& student, const Teachers& teachers, const DistillOptions& options) {
  if (teachers.empty()) usage_error("distill", "needs a teacher");
  if (!student.tokenizer) usage_error("student", "has no tokenizer");
  for (const auto& teacher : teachers) {
    if (!teacher || !teacher->tokenizer) usage_error("teacher", "has no tokenizer");
    if (options.match.logits) match_labels(student.config, teacher->config);
    if (!options.allow_other_vocabulary) check_vocabulary(student, *teacher);
  }
}

// Token by token, both sides must cut texts at the same length.
int64_t common_length(const Model& student, const Model& teacher, const DistillOptions& options, int64_t max_length) {
  if (!options.match.features()) return max_length;
  return std::min({max_length, student.config.max_positions, teacher.config.max_positions});
}

}  // namespace

TrainResult distill(Model& student, const std::vector<std::shared_ptr<const Model>>& teachers, const Dataset& train,
                    const Dataset* eval, const TrainOptions& options, const DistillOptions& distillation) {
  return distill(student, teachers, train, eval, options, distillation, nullptr);
}

TrainResult distill(Model& student, const std::vector<std::shared_ptr<const Model>>& teachers,
                    const Dataset& train_data, const Dataset* eval, const TrainOptions& given,
                    const DistillOptions& distillation, TrainingHook* hook) {
  const TrainOptions options = resolve_options(given, student.config.hidden_size);
  check_options(distillation);
  check_teachers(student, teachers, distillation);
  const Model& teacher = *teachers[0];
  const FeaturePlan plan = plan_features(distillation, student.config, teacher.config);
  const Dataset train = training_data(train_data, distillation, options.seed);
  const int64_t max_length = common_length(student, teacher, distillation, options.max_length);
  ClassificationData data = prepare(student, train, max_length);
  std::optional<ClassificationData> evaluation;
  if (eval != nullptr) evaluation = prepare(student, *eval, options.max_length);

  Machine machine(options);
  const TeacherRequest request{
      .logits = distillation.match.logits && options.alpha < 1, .taps = plan.teacher_taps(), .max_length = max_length};
  TeacherOutputs outputs(student, teachers, train, request, distillation.cache, options, machine);
  if (distillation.match.features()) check_tokens(data.texts, outputs.texts());
  const Projections projections(student, teacher, plan, options, machine);
  auto loss = std::make_unique<DistillationLoss>(
      student, teacher,
      DistillationTerms{
          .options = distillation, .plan = plan, .alpha = options.alpha, .temperature = options.temperature},
      outputs);
  ClassifierObjective objective(student, std::move(data), std::move(evaluation), options, machine, std::move(loss));
  Trainer trainer(student, objective, options, machine, hook);
  TrainResult result = trainer.run();
  record_training(student, objective, options, result, hook);
  return result;
}

}  // namespace fettle
