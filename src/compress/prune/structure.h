// Structured pruning: heads, neurons and hidden dimensions by importance, at once or in rounds; whole layers.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "compress/prune/choose.h"
#include "compress/prune/importance.h"
#include "compress/prune/surgery.h"

namespace fettle {

struct StructureOptions {
  std::vector<PartKind> parts = {PartKind::kHeads};  // kHeads, kNeurons, both, or kHidden alone
  // Share to remove: of the parts, or where there are several kinds of their cost together (parameters, unless
  // choice.cost says otherwise).
  double share = 0.5;
  bool normalize = false;  // layers' scores by their norm before layers are compared
  int64_t rounds = 1;      // importance is measured anew after each
  ChoiceOptions choice;
  ImportanceOptions importance;
};

struct StructureResult {
  KeptParts kept;                  // of the model as it was
  std::vector<PartScores> scores;  // of the model as it was, not normalized
};

// What one head and one neuron have in parameters.
std::map<PartKind, double> parameter_costs(const ModelConfig& config);
// `scores` of the whole model where they are known already (of the same options), else empty.
StructureResult choose_structure(const Model& model, const Dataset& data, const StructureOptions& options,
                                 std::vector<PartScores> scores = {});

// Layers in the order in which they go. With kContribution, kGradient or kTaylor one goes after the other, each the
// least important of those left when the options ask for as many rounds as layers go, else all by the first scores.
StructureResult choose_layers(const Model& model, const Dataset& data, int64_t n_drop, int64_t rounds,
                              const ImportanceOptions& options);

// How many parts of each kind go: {"layers": 2, "heads": 30, "neurons": 900, "hidden": 64}, of layers that stay;
// kinds of which none goes are left out.
Json count_removed(const ModelConfig& before, const KeptParts& kept);

}  // namespace fettle
