#include "compress/prune/structure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "compress/prune/layer_order.h"
#include "model/config_keys.h"

namespace fettle {
namespace {

using Indices = std::vector<int64_t>;

// `places` among `of`.
Indices pick(const Indices& of, const Indices& places) {
  Indices picked;
  for (const int64_t place : places) picked.push_back(of[static_cast<size_t>(place)]);
  return picked;
}

bool has(const std::vector<PartKind>& parts, PartKind kind) {
  return std::ranges::count(parts, kind) > 0;
}

// The best of one list of scores, rising; `share` goes.
Indices best(const std::vector<double>& scores, double share, int64_t step) {
  const PartScores as_neurons{PartKind::kNeurons, {scores}};
  const ChoiceOptions options{.global = true, .neuron_step = step, .cost = {}};
  return choose_parts({as_neurons}, share * static_cast<double>(scores.size()), options)[0][0];
}

// Narrows `kept`, which `scores` are of, by the places that stay in each unit.
void narrow(KeptParts& kept, const ModelConfig& config, PartKind kind, const std::vector<Indices>& places) {
  for (size_t layer = 0; layer < kept.in_layers.size(); ++layer) {
    const auto unit = static_cast<size_t>(unit_of_layer(config, static_cast<int64_t>(layer)));
    KeptLayer& mine = kept.in_layers[layer];
    Indices& list = kind == PartKind::kHeads ? mine.heads : mine.neurons;
    list = pick(list, places[unit]);
  }
}

StructureResult choose_hidden(const Model& model, const Dataset& data, const StructureOptions& options,
                              std::vector<PartScores> scores) {
  StructureResult result{.kept = everything(model.config), .scores = std::move(scores)};
  const bool has_pooled =
      model.parameters.has(std::string(architecture_keys(model.config.architecture).hidden_head) + ".weight");
  if (result.scores.empty()) {
    std::vector<PartKind> parts = {PartKind::kHidden};
    if (has_pooled) parts.push_back(PartKind::kPooled);
    result.scores = measure_importance(model, data, parts, options.importance);
  }
  result.kept.hidden = best(result.scores[0].by_layer[0], options.share, options.choice.neuron_step);
  result.kept.pooled = result.scores.size() > 1
                           ? best(result.scores[1].by_layer[0], options.share, options.choice.neuron_step)
                           : result.kept.hidden;
  return result;
}

}  // namespace

std::map<PartKind, double> parameter_costs(const ModelConfig& config) {
  const auto hidden = static_cast<double>(config.hidden_size);
  const auto head_dim = static_cast<double>(config.layers.front().head_dim);
  return {{PartKind::kHeads, head_dim * (4 * hidden + 3)}, {PartKind::kNeurons, 2 * hidden + 1}};
}

StructureResult choose_structure(const Model& model, const Dataset& data, const StructureOptions& options,
                                 std::vector<PartScores> scores) {
  if (has(options.parts, PartKind::kHidden)) return choose_hidden(model, data, options, std::move(scores));
  StructureResult result{.kept = everything(model.config), .scores = std::move(scores)};
  ChoiceOptions choice = options.choice;
  if (choice.cost.empty() && options.parts.size() > 1) choice.cost = parameter_costs(model.config);
  if (result.scores.empty()) result.scores = measure_importance(model, data, options.parts, options.importance);
  const double whole = total_cost(result.scores, choice);
  std::vector<PartScores> now = result.scores;
  for (int64_t round = 1; round <= options.rounds; ++round) {
    if (round > 1) now = measure_importance(cut(model, result.kept), data, options.parts, options.importance);
    const double gone = whole - total_cost(now, choice);
    const double goal = whole * options.share * static_cast<double>(round) / static_cast<double>(options.rounds);
    std::vector<PartScores> ranked = now;
    if (options.normalize) {
      for (PartScores& each : ranked) normalize_by_layer(each);
    }
    const auto places = choose_parts(ranked, std::max(0.0, goal - gone), choice);
    for (size_t k = 0; k < ranked.size(); ++k) narrow(result.kept, model.config, ranked[k].kind, places[k]);
  }
  return result;
}

StructureResult choose_layers(const Model& model, const Dataset& data, int64_t n_drop, int64_t rounds,
                              const ImportanceOptions& options) {
  StructureResult result{.kept = everything(model.config), .scores = {}};
  int64_t done = 0;
  for (int64_t round = 1; round <= rounds && done < n_drop; ++round) {
    const PartScores now =
        measure_importance(done == 0 ? model : cut(model, result.kept), data, {PartKind::kLayers}, options)[0];
    if (done == 0) result.scores = {now};
    std::vector<double> contribution;
    for (const auto& layer : now.by_layer) contribution.push_back(layer.at(0));
    const int64_t goal = n_drop * round / rounds;
    const Indices left = layers_left(layer_order(contribution), goal - done);
    result.kept.layers = pick(result.kept.layers, left);
    done = goal;
  }
  return result;
}

Json count_removed(const ModelConfig& before, const KeptParts& kept) {
  Json removed = Json::object();
  const auto add = [&](const char* name, size_t n_before, size_t n_left) {
    const auto gone = static_cast<int64_t>(n_before) - static_cast<int64_t>(n_left);
    if (gone > 0) removed[name] = removed.value(name, int64_t{0}) + gone;
  };
  add("layers", before.layers.size(), kept.layers.size());
  for (const int64_t layer : kept.layers) {
    const auto at = static_cast<size_t>(layer);
    if (unit_of_layer(before, layer) != layer) continue;
    add("heads", static_cast<size_t>(before.layers[at].n_heads), kept.in_layers[at].heads.size());
    add("neurons", static_cast<size_t>(before.layers[at].intermediate_size), kept.in_layers[at].neurons.size());
  }
  add("hidden", static_cast<size_t>(before.hidden_size), kept.hidden.size());
  return removed;
}

}  // namespace fettle
