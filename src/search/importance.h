// How much of the results each parameter explains: functional ANOVA (Hutter, Hoos & Leyton-Brown 2014).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "search/trial.h"

namespace fettle {

struct ImportanceOptions {
  int64_t n_trees = 64;
  int64_t min_leaf = 1;  // trials in a leaf
  int64_t max_depth = 32;
  int64_t least_trials = 4;  // fewer complete trials say nothing
};

// For each parameter of the space the share of the variance of goal `goal` over the whole space that it explains
// alone, in [0, 1]; what is missing to 1 in their sum are interactions. A regression forest is fitted to the complete
// trials (each tree to a bootstrap sample drawn with `seed`, splitting on all parameters, in the search space), and the
// variances are those of the forest's trees, exactly. Choices are ordered as in the space. All zero when results do not
// differ; empty when there are too few.
std::vector<double> parameter_importance(const Space& space, std::span<const Trial> trials, size_t goal, uint64_t seed,
                                         const ImportanceOptions& options = {});

}  // namespace fettle
