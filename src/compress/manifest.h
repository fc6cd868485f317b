// The manifest: what a model was made from and how, kept as fettle.json beside it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "model/model.h"

namespace fettle {

// Adds a step {"verb", "options", "seed"}, and the folder that the model was read from as a parent.
void record_step(Model& model, std::string_view verb, const Json& options, uint64_t seed);
// Adds to the options of the last step: what training, which records itself, was not told. `from`: what the step worked
// on where that was not the model of the step before ("parent", see run-recipe).
void amend_step(Model& model, const Json& options, std::string_view from = "");
// Adds {"name", "sha256"} for each file of weights in `folder`; nothing when it is empty (a model made here).
void record_parent(Model& model, const std::filesystem::path& folder);
// Adds or replaces the measurements.
void record_measurements(Model& model, const Json& measurements);

}  // namespace fettle
