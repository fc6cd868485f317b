#include "compress/manifest.h"

#include <algorithm>

#include "base/sha256.h"
#include "format/tensor_store.h"

namespace fettle {

namespace {

Json& list_of(Model& model, const char* key) {
  if (!model.manifest.is_object()) model.manifest = Json::object();
  Json& list = model.manifest[key];
  if (!list.is_array()) list = Json::array();
  return list;
}

}  // namespace

void record_step(Model& model, std::string_view verb, const Json& options, uint64_t seed) {
  list_of(model, "steps").push_back(Json{{"verb", std::string(verb)}, {"options", options}, {"seed", seed}});
  record_parent(model, model.source);
}

void amend_step(Model& model, const Json& options, std::string_view from) {
  Json& steps = list_of(model, "steps");
  if (steps.empty()) steps.push_back(Json::object());
  for (const auto& [key, value] : options.items()) steps.back()["options"][key] = value;
  if (!from.empty()) steps.back()["from"] = std::string(from);
}

void record_parent(Model& model, const std::filesystem::path& folder) {
  if (folder.empty()) return;
  std::filesystem::path path = std::filesystem::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  const TensorStore store = TensorStore::open(path);
  Json& parents = list_of(model, "parents");
  for (const std::filesystem::path& file : store.files()) {
    std::string name = path.filename().string();
    if (store.files().size() > 1) name += "/" + file.filename().string();
    Json entry{{"name", std::move(name)}, {"sha256", sha256_file(file)}};
    if (std::find(parents.begin(), parents.end(), entry) == parents.end()) parents.push_back(std::move(entry));
  }
}

void record_measurements(Model& model, const Json& measurements) {
  if (!model.manifest.is_object()) model.manifest = Json::object();
  model.manifest["measurements"] = measurements;
}

}  // namespace fettle
