#include "model/manifest.h"

#include <cmath>

#include "base/error.h"
#include "format/hf_folder.h"

namespace fettle {
namespace {

constexpr const char* kVersionKey = "fettle_version";
constexpr const char* kThresholdKey = "oos_threshold";

}  // namespace

void read_manifest(const std::filesystem::path& folder, Model& model) {
  const auto path = find_in_folder(folder, kManifestFile);
  if (!path) return;
  model.manifest = read_json(*path);
  if (!model.manifest.is_object()) bad_input(path->string(), "is not a JSON object");
  if (model.manifest.contains(kThresholdKey)) {
    model.oos_threshold = json_number(model.manifest, kThresholdKey, path->string());
  }
  for (const char* key : {"steps", "parents"}) {
    if (model.manifest.contains(key) && !model.manifest[key].is_array()) {
      bad_input(path->string(), std::string("\"") + key + "\" is not a list");
    }
  }
  model.manifest.erase(kThresholdKey);
  model.manifest.erase(kVersionKey);
}

void write_manifest(const std::filesystem::path& folder, const Model& model) {
  Json json{{kVersionKey, FETTLE_VERSION}};
  if (!std::isnan(model.oos_threshold)) json[kThresholdKey] = model.oos_threshold;
  for (const auto& [key, value] : model.manifest.items()) json[key] = value;
  write_json(folder / kManifestFile, json);
}

}  // namespace fettle
