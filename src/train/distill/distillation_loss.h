// The loss of distillation, with terms for logits and features:
//
//   alpha · CE + (1 - alpha) · T² · KL(logits)                    Hinton et al. 2015
//   + hidden_weight · mean over layer pairs MSE(h_s Wᵀ, h_t)       TinyBERT; W only where widths differ
//   + embeddings_weight · MSE(e_s Vᵀ, e_t)                         TinyBERT
//   + attention_weight · KL(relations of queries and keys)         MiniLM, mean over layer pairs
//   + values_weight · KL(relations of values)                      MiniLM
//
// W and V are trained with the student and thrown away. MSE is the mean over all elements, KL that over tokens and
// heads.
#pragma once

#include <memory>
#include <vector>

#include "train/classify.h"
#include "train/distill/distill_options.h"
#include "train/distill/teacher_outputs.h"

namespace fettle {

// Which layers are compared.
struct FeaturePlan {
  std::vector<LayerPair> hidden;
  std::vector<LayerPair> attention;
  std::vector<LayerPair> values;
  bool embeddings = false;

  std::vector<Tap> teacher_taps() const;  // each once
};
// kUsage for layer maps that the models do not have.
FeaturePlan plan_features(const DistillOptions& options, const ModelConfig& student, const ModelConfig& teacher);

inline constexpr const char* kHiddenProjection = "distill.hidden_projection.weight";
inline constexpr const char* kEmbeddingsProjection = "distill.embeddings_projection.weight";

// Parameters of the student's graph that are no part of the student: matrices [teacher's width, student's] for hidden
// states and embeddings where the widths differ. They begin as the best linear map between the word embeddings where
// the vocabularies are the same, else near zero.
class Projections {
 public:
  Projections(Model& student, const Model& teacher, const FeaturePlan& plan, const TrainOptions& options,
              Machine& machine);
  // Takes them out of the student.
  ~Projections();
  Projections(const Projections&) = delete;
  Projections& operator=(const Projections&) = delete;

 private:
  void add(const char* name, const Shape& shape, const Model& teacher, const TrainOptions& options, Machine& machine);

  Model& student_;
  std::vector<std::string> names_;
};

struct DistillationTerms {
  DistillOptions options;
  FeaturePlan plan;
  double alpha = 0.5;
  double temperature = 2;
};

class DistillationLoss : public TeacherLoss {
 public:
  // Student, teacher and outputs must outlive this.
  DistillationLoss(const Model& student, const Model& teacher, DistillationTerms terms, TeacherOutputs& outputs);

  ValueId add_to(Graph& graph, ValueId loss) const override;
  void load(std::span<const int32_t> examples, MicroBatch& batch) override { outputs_.load(examples, batch); }
  Json options() const override { return options_to_json(terms_.options); }
  std::string digest() const override { return outputs_.digest(); }

 private:
  ValueId soft_loss(Graph& graph, ValueId loss) const;
  // The mean of `terms` times `weight` is added to `loss`.
  ValueId add_terms(Graph& graph, ValueId loss, const std::vector<ValueId>& terms, double weight,
                    const std::string& name) const;
  ValueId feature_error(Graph& graph, const Tap& student, const Tap& teacher, const char* projection) const;
  ValueId relation_error(Graph& graph, const LayerPair& pair, TapKind a, TapKind b) const;
  ValueId teacher_value(Graph& graph, const Tap& tap) const;

  const Model& student_;
  const Model& teacher_;
  DistillationTerms terms_;
  TeacherOutputs& outputs_;
};

}  // namespace fettle
