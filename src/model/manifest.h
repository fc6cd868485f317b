// fettle.json: how a model was made, beside its weights.
#pragma once

#include <filesystem>

#include "model/model.h"

namespace fettle {

inline constexpr const char* kManifestFile = "fettle.json";

// Fills manifest and oos_threshold when the folder has the file. Errors: kBadInput when it is malformed.
void read_manifest(const std::filesystem::path& folder, Model& model);
void write_manifest(const std::filesystem::path& folder, const Model& model);

}  // namespace fettle
