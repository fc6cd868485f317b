#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/error.h"
#include "model/layer_names.h"
#include "train/prune/weight_pruning.h"
#include "train/training_graph.h"

namespace fettle {
namespace {

void require(bool good, const char* option, const char* rule) {
  if (!good) usage_error(option, std::string("must be ") + rule);
}

bool is_encoder_start(const Node& node, const EncoderLayerNames& names) {
  const std::array<const std::string*, 3> starts = {&names.prefix, &names.query, &names.intermediate};
  return std::ranges::any_of(starts, [&](const std::string* start) { return node.name.starts_with(*start); });
}

}  // namespace

std::string_view method_name(WeightMethod method) {
  switch (method) {
    case WeightMethod::kMagnitude:
      return "magnitude";
    case WeightMethod::kMovement:
      return "movement";
    case WeightMethod::kSoftMovement:
      return "soft-movement";
    case WeightMethod::kL0:
      return "l0";
  }
  return "?";
}

std::string_view pattern_name(WeightPattern pattern) {
  switch (pattern) {
    case WeightPattern::kElement:
      return "element";
    case WeightPattern::kBlock4x1:
      return "4x1";
    case WeightPattern::kBlock32x32:
      return "32x32";
    case WeightPattern::kTwoOfFour:
      return "2:4";
  }
  return "?";
}

double WeightPruneOptions::lambda() const {
  if (method != WeightMethod::kSoftMovement && method != WeightMethod::kL0) return 0;
  if (penalty >= 0) return penalty;
  return method == WeightMethod::kSoftMovement ? 400 : 125;  // as in the movement paper's experiments
}

void check_options(const WeightPruneOptions& options) {
  const bool is_free =
      !options.has_target() && (options.method == WeightMethod::kSoftMovement || options.method == WeightMethod::kL0);
  require(is_free || (options.target > 0 && options.target < 1), "target", "above 0 and below 1");
  if (options.pattern == WeightPattern::kTwoOfFour) {
    require(options.target == 0.5, "target", "0.5 for 2:4, which removes half of the weights");
  }
  require(options.begin >= 0 && options.begin < options.end && options.end <= 1, "prune-from and prune-until",
          "rising shares of the run, in [0, 1]");
  require(std::isfinite(options.score_learning_rate) && options.score_learning_rate > 0, "score-learning-rate",
          "above 0");
  require(std::isfinite(options.penalty), "penalty", "a number");
  require(options.threshold > 0 && options.threshold < 1, "threshold", "above 0 and below 1");
}

Json options_to_json(const WeightPruneOptions& options) {
  Json json = {{"method", method_name(options.method)},
               {"pattern", pattern_name(options.pattern)},
               {"target", options.has_target() ? Json(options.target) : Json("free")},
               {"global", options.global},
               {"embeddings", options.embeddings},
               {"head", options.head},
               {"prune_from", options.begin},
               {"prune_until", options.end}};
  if (options.learns_scores()) json["score_learning_rate"] = options.score_learning_rate;
  if (options.method == WeightMethod::kSoftMovement) {
    json["penalty"] = options.lambda();
    if (!options.has_target()) json["threshold"] = options.threshold;
  }
  if (options.method == WeightMethod::kL0) json["penalty"] = options.lambda();
  return json;
}

Json flags_to_json(const WeightPruneOptions& options, bool trains) {
  Json flags{{"method", method_name(options.method)}};
  if (options.has_target()) flags["target"] = options.target;
  if (options.pattern != WeightPattern::kElement) flags["block"] = pattern_name(options.pattern);
  if (options.global) flags["global"] = true;
  if (options.embeddings) flags["embeddings"] = true;
  if (options.head) flags["head"] = true;
  if (!trains) return flags;
  flags["prune_from"] = options.begin;
  flags["prune_until"] = options.end;
  if (options.learns_scores()) flags["score_learning_rate"] = options.score_learning_rate;
  const bool is_soft = options.method == WeightMethod::kSoftMovement;
  if (is_soft || options.method == WeightMethod::kL0) flags["penalty"] = options.lambda();
  if (is_soft && !options.has_target()) flags["threshold"] = options.threshold;
  return flags;
}

std::vector<std::string> prunable_weights(const ModelConfig& config, const WeightPruneOptions& options) {
  const auto head = config.labels.empty() ? GraphOptions::Head::kHidden : GraphOptions::Head::kClassifier;
  const Graph graph = build_graph(config, {.head = head});
  const std::vector<int64_t> ends = layer_ends(graph, config);
  const int64_t end = ends.empty() ? 0 : ends.back();
  const EncoderLayerNames first = encoder_layer_names(config, 0);
  std::vector<std::string> names;
  std::set<std::string> seen;
  bool in_encoder = false;
  for (int64_t i = 0; i < std::ssize(graph.nodes()); ++i) {
    const Node& node = graph.nodes()[static_cast<size_t>(i)];
    in_encoder = i < end && (in_encoder || is_encoder_start(node, first));
    const bool is_linear = node.op->name() == "linear";
    const bool is_table = node.op->name() == "gather_rows";
    if (!is_linear && !is_table) continue;
    const Value& weight = graph.value(node.inputs[is_linear ? 1 : 0]);
    if (weight.kind != ValueKind::kParameter) continue;
    const bool is_wanted = is_linear ? in_encoder || (options.head && i >= end)
                                     : options.embeddings && weight.name.ends_with("word_embeddings.weight");
    if (is_wanted && seen.insert(weight.name).second) names.push_back(weight.name);
  }
  return names;
}

MaskBlocks blocks_of(const Shape& matrix, WeightPattern pattern) {
  MaskBlocks blocks{.rows = matrix[0], .columns = matrix[1]};
  if (pattern == WeightPattern::kBlock4x1) blocks.block_columns = 4;
  if (pattern == WeightPattern::kBlock32x32) blocks.block_rows = blocks.block_columns = 32;
  return blocks;
}

}  // namespace fettle
