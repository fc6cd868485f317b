#include "compress/manifest.h"

#include "base/file.h"
#include "base/sha256.h"

namespace fettle {

void record_step(Model& model, std::string_view verb, const Json& options, uint64_t seed, const Model* parent) {
  if (!model.manifest.is_object()) model.manifest = Json::object();
  Json step{{"verb", std::string(verb)}, {"options", options}, {"seed", seed}};
  model.manifest["steps"].push_back(std::move(step));
  const std::filesystem::path source = parent != nullptr ? parent->source : model.source;
  const std::filesystem::path weights = source / "model.safetensors";
  if (source.empty() || !std::filesystem::is_regular_file(weights)) return;
  Json entry{{"name", source.filename().string()}, {"sha256", sha256_file(weights)}};
  Json& parents = model.manifest["parents"];
  for (const Json& known : parents) {
    if (known == entry) return;
  }
  parents.push_back(std::move(entry));
}

void record_measurements(Model& model, const Json& measurements) {
  if (!model.manifest.is_object()) model.manifest = Json::object();
  model.manifest["measurements"] = measurements;
}

}  // namespace fettle
