#include "train/distill/distillation_loss.h"

#include <set>

#include "base/error.h"

namespace fettle {

FeaturePlan plan_features(const DistillOptions& options, const ModelConfig& student, const ModelConfig& teacher) {
  FeaturePlan plan;
  const DistillMatch& match = options.match;
  plan.embeddings = match.embeddings;
  if (!match.hidden && !match.attention && !match.values) return plan;
  const std::vector<LayerPair> layers =
      map_layers(options.layer_map, std::ssize(student.layers), std::ssize(teacher.layers));
  const std::vector<LayerPair> relations =
      options.relations_of_all_layers ? layers : std::vector<LayerPair>{layers.back()};
  if (match.hidden) plan.hidden = layers;
  if (match.attention) plan.attention = relations;
  if (match.values) plan.values = relations;
  return plan;
}

std::vector<Tap> FeaturePlan::teacher_taps() const {
  std::set<Tap> taps;
  if (embeddings) taps.insert({TapKind::kEmbeddings, 0});
  for (const LayerPair& pair : hidden) taps.insert({TapKind::kHidden, pair.teacher});
  for (const LayerPair& pair : attention) {
    taps.insert({TapKind::kQuery, pair.teacher});
    taps.insert({TapKind::kKey, pair.teacher});
  }
  for (const LayerPair& pair : values) taps.insert({TapKind::kValue, pair.teacher});
  return {taps.begin(), taps.end()};
}

DistillationLoss::DistillationLoss(const Model& student, const Model& teacher, DistillationTerms terms,
                                   TeacherOutputs& outputs)
    : student_(student), teacher_(teacher), terms_(std::move(terms)), outputs_(outputs) {}

ValueId DistillationLoss::soft_loss(Graph& graph, ValueId loss) const {
  const double alpha = terms_.alpha;
  if (alpha >= 1) return loss;
  const ValueId hard = graph.node("scale", {loss}, {{"factor", alpha}}, "alpha");
  if (!terms_.options.match.logits) return hard;
  const ValueId logits = graph.find("logits");
  const ValueId teacher = graph.add_input("teacher_logits", graph.type(logits));
  const ValueId divergence =
      graph.node("distillation_loss", {logits, teacher}, {{"temperature", terms_.temperature}}, "distillation");
  const ValueId soft = graph.node("scale", {divergence}, {{"factor", 1 - alpha}}, "one_minus_alpha");
  return graph.node("add", {hard, soft}, {}, "hard and soft");
}

ValueId DistillationLoss::teacher_value(Graph& graph, const Tap& tap) const {
  const std::string name = teacher_input(tap);
  const ValueId known = graph.find(name);
  if (known != kNoValue) return known;
  const Dim width = Graph::constant_dim(tap_width(teacher_.config, tap));
  return graph.add_input(name, {DType::kF32, {graph.symbol("tokens"), width}});
}

ValueId DistillationLoss::feature_error(Graph& graph, const Tap& student, const Tap& teacher,
                                        const char* projection) const {
  ValueId ours = find_tap(graph, student_.config, student);
  if (student_.parameters.has(projection)) {
    ValueId weight = graph.find(projection);
    if (weight == kNoValue) weight = graph.add_parameter(projection, student_.parameters.get(projection).shape);
    ours = graph.node("linear", {ours, weight}, {}, std::string(projection) + " of " + tap_name(student));
  }
  return graph.node("mean_squared_error", {ours, teacher_value(graph, teacher)}, {}, "error of " + tap_name(student));
}

ValueId DistillationLoss::relation_error(Graph& graph, const LayerPair& pair, TapKind a, TapKind b) const {
  const auto width_of = [a](const ModelConfig& config, int64_t layer) {
    return RelationWidth{.n_heads = config.layers[static_cast<size_t>(layer)].n_heads,
                         .width = tap_width(config, {a, layer})};
  };
  const int64_t n_heads = relation_heads(width_of(student_.config, pair.student),
                                         width_of(teacher_.config, pair.teacher), terms_.options.relation_heads);
  return graph.add_nodes(
      "relation_loss",
      {find_tap(graph, student_.config, {a, pair.student}), find_tap(graph, student_.config, {b, pair.student}),
       teacher_value(graph, {a, pair.teacher}), teacher_value(graph, {b, pair.teacher}), graph.find("offsets")},
      {{"n_heads", n_heads}}, "relation of " + tap_name({a, pair.student}))[0];
}

ValueId DistillationLoss::add_terms(Graph& graph, ValueId loss, const std::vector<ValueId>& terms, double weight,
                                    const std::string& name) const {
  if (terms.empty()) return loss;
  ValueId sum = terms[0];
  for (size_t i = 1; i < terms.size(); ++i) sum = graph.node("add", {sum, terms[i]}, {}, name + ".sum");
  graph.add_output(name, sum);
  const double factor = weight / static_cast<double>(terms.size());
  const ValueId weighted = graph.node("scale", {sum}, {{"factor", factor}}, name + ".weighted");
  return graph.node("add", {loss, weighted}, {}, name + ".added");
}

ValueId DistillationLoss::add_to(Graph& graph, ValueId loss) const {
  ValueId total = soft_loss(graph, loss);
  const DistillOptions& options = terms_.options;
  if (terms_.plan.embeddings) {
    const Tap tap{TapKind::kEmbeddings, 0};
    total = add_terms(graph, total, {feature_error(graph, tap, tap, kEmbeddingsProjection)}, options.embeddings_weight,
                      "embeddings_loss");
  }
  std::vector<ValueId> terms;
  for (const LayerPair& pair : terms_.plan.hidden) {
    terms.push_back(
        feature_error(graph, {TapKind::kHidden, pair.student}, {TapKind::kHidden, pair.teacher}, kHiddenProjection));
  }
  total = add_terms(graph, total, terms, options.hidden_weight, "hidden_loss");
  terms.clear();
  for (const LayerPair& pair : terms_.plan.attention) {
    terms.push_back(relation_error(graph, pair, TapKind::kQuery, TapKind::kKey));
  }
  total = add_terms(graph, total, terms, options.attention_weight, "attention_loss");
  terms.clear();
  for (const LayerPair& pair : terms_.plan.values) {
    terms.push_back(relation_error(graph, pair, TapKind::kValue, TapKind::kValue));
  }
  return add_terms(graph, total, terms, options.values_weight, "values_loss");
}

}  // namespace fettle
