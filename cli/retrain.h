// What `prune` and `factorize` do behind their methods: training again, the quality before and after, writing.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "cli/prune_methods.h"

namespace fettle::cli {

// --distill, --alpha, --temperature, and those of thresholds, data and training.
void add_retrain_flags(CLI::App& verb, PruneCommand& command);
// kUsage for what would be ignored.
void check_retrain_flags(const PruneCommand& command);

// Trains the changed model on --data, or distils it from the original (--distill).
TrainResult retrain(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                    const Globals& globals);

// Measures the changed model on --eval (where its threshold is fitted too when that was asked for), writes its folder,
// and returns what the verbs' JSON shares: method, sizes, path, what `training` did if any did, and with --eval
// "accuracy_before" and "accuracy".
Json write_changed(Model& model, const std::shared_ptr<const Model>& original, const PruneCommand& command,
                   const std::optional<TrainResult>& training, const Globals& globals);
// The last lines for people, of what write_changed returned.
std::string change_text(const Json& json, const std::optional<TrainResult>& training);

}  // namespace fettle::cli
