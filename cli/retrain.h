// What `prune` and `factorize` do behind their methods: training again, and the quality before and after.
#pragma once

#include <memory>

#include "cli/prune_methods.h"

namespace fettle::cli {

// Trains the changed model on --data, or distils it from the original (--distill).
TrainResult retrain(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                    const Globals& globals);

// "accuracy_before" and "accuracy" of the original and the changed model on --eval, where its threshold is fitted too
// when that was asked for; an empty object without --eval, and for models that do not give one label.
Json measure_change(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                    const Globals& globals);

}  // namespace fettle::cli
