// The manifest: what a model was made from and how, kept as fettle.json beside it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "model/model.h"

namespace fettle {

// Adds a step {"verb", "options", "seed"} and, when `parent` has a source folder, the SHA-256 of its weights.
void record_step(Model& model, std::string_view verb, const Json& options, uint64_t seed,
                 const Model* parent = nullptr);
// Adds or replaces the measurements.
void record_measurements(Model& model, const Json& measurements);

}  // namespace fettle
