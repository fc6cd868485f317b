#include "format/hf_folder.h"

#include <algorithm>
#include <array>
#include <map>
#include <system_error>
#include <unordered_map>

#include "base/error.h"
#include "format/refuse.h"
#include "format/safetensors_header.h"

namespace fettle {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxShards = 10'000;
constexpr size_t kMaxFileNameBytes = 1'024;

bool is_inside(const fs::path& path, const fs::path& folder) {
  const auto [in_folder, in_path] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return in_folder == folder.end() && in_path != path.end();
}

// The Hugging Face cache keeps models--owner--name/snapshots/REVISION/FILE as links to models--owner--name/blobs/HASH.
std::optional<fs::path> cache_blobs_of(const fs::path& canonical_folder) {
  const fs::path snapshots = canonical_folder.parent_path();
  const fs::path repository = snapshots.parent_path();
  if (snapshots.filename() != "snapshots" || !repository.filename().string().starts_with("models--"))
    return std::nullopt;
  return repository / "blobs";
}

void check_file_name(const fs::path& folder, std::string_view name) {
  const auto refuse = [&](const char* why) { bad_input(folder.string(), "file name " + quote_name(name) + " " + why); };
  if (name.empty()) refuse("is empty");
  if (name.size() > kMaxFileNameBytes) refuse("is too long");
  if (name.find('\0') != std::string_view::npos) refuse("has a NUL character");
  const fs::path path(name);
  if (path.is_absolute()) refuse("is absolute; only files inside the folder are read");
  for (const fs::path& part : path) {
    if (part == "..") refuse("leads out of the folder");
  }
}

fs::path weight_shard(const fs::path& folder, const fs::path& index, const std::string& name) {
  std::optional<fs::path> shard = find_in_folder(folder, name);
  if (!shard) io_error(index.string(), "names the file " + quote_name(name) + ", which is not there");
  return *shard;
}

WeightFiles read_weight_index(const fs::path& folder, const fs::path& index, WeightsLayout layout) {
  const Json json = read_json(index);
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  if (map == json.end() || !map->is_object()) bad_input(index.string(), "has no object 'weight_map'");
  if (map->size() > kMaxTensorsPerFile) bad_input(index.string(), "names too many tensors");
  WeightFiles weights{layout, {}, {}, index};
  std::map<std::string, size_t> position;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) bad_input(index.string(), "tensor " + quote_name(tensor) + ": the file name is not a text");
    position.emplace(file.get_ref<const std::string&>(), 0);
    if (position.size() > kMaxShards) bad_input(index.string(), "names too many files");
  }
  for (auto& [file, i] : position) {
    i = weights.files.size();
    weights.files.push_back(weight_shard(folder, index, file));
  }
  weights.weight_map.reserve(map->size());
  for (const auto& [tensor, file] : map->items()) {
    weights.weight_map.emplace_back(tensor, position.at(file.get_ref<const std::string&>()));
  }
  return weights;
}

std::optional<Json> read_object_if_there(const fs::path& folder, std::string_view name) {
  const std::optional<fs::path> path = find_in_folder(folder, name);
  if (!path) return std::nullopt;
  Json json = read_json(*path);
  if (!json.is_object()) bad_input(path->string(), "is not a JSON object");
  return json;
}

}  // namespace

std::optional<fs::path> find_in_folder(const fs::path& folder, std::string_view name) {
  check_file_name(folder, name);
  const fs::path path = folder / name;
  std::error_code error;
  const fs::file_status link = fs::symlink_status(path, error);
  if (link.type() == fs::file_type::not_found) return std::nullopt;
  if (error) io_error_from(path.string(), "cannot be examined", error.value());

  const fs::path canonical_folder = fs::canonical(folder, error);
  if (error) io_error_from(folder.string(), "cannot be examined", error.value());
  const fs::path target = fs::canonical(path, error);
  if (error) io_error_from(path.string(), "cannot be followed", error.value());
  const std::optional<fs::path> blobs = cache_blobs_of(canonical_folder);
  if (!is_inside(target, canonical_folder) && !(blobs && is_inside(target, *blobs))) {
    bad_input(path.string(), "is a link out of the folder",
              "only files inside the folder are read; copy the file there");
  }
  if (!fs::is_regular_file(target, error)) bad_input(path.string(), "is not a regular file");
  return path;
}

fs::path require_in_folder(const fs::path& folder, std::string_view name) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) io_error(folder.string(), "no such folder");
  std::optional<fs::path> path = find_in_folder(folder, name);
  if (!path) io_error((folder / name).string(), "no such file");
  return *path;
}

std::optional<WeightFiles> find_weights(const fs::path& folder) {
  struct Row {
    std::string_view name;
    WeightsLayout layout;
    bool is_index;
  };
  constexpr std::array<Row, 4> kRows = {{{"model.safetensors", WeightsLayout::kSafetensors, false},
                                         {"model.safetensors.index.json", WeightsLayout::kSafetensors, true},
                                         {"pytorch_model.bin", WeightsLayout::kPytorch, false},
                                         {"pytorch_model.bin.index.json", WeightsLayout::kPytorch, true}}};
  for (const Row& row : kRows) {
    const std::optional<fs::path> path = find_in_folder(folder, row.name);
    if (!path) continue;
    if (row.is_index) return read_weight_index(folder, *path, row.layout);
    return WeightFiles{row.layout, {*path}, {}, std::nullopt};
  }
  return std::nullopt;
}

HfFolder open_hf_folder(const fs::path& path) {
  HfFolder folder;
  folder.path = path;
  const fs::path config = require_in_folder(path, "config.json");
  folder.config = read_json(config);
  if (!folder.config.is_object()) bad_input(config.string(), "is not a JSON object");
  folder.generation_config = read_object_if_there(path, "generation_config.json");
  folder.tokenizer_config = read_object_if_there(path, "tokenizer_config.json");
  folder.tokenizer_json = find_in_folder(path, "tokenizer.json");
  folder.vocab_txt = find_in_folder(path, "vocab.txt");
  folder.vocab_json = find_in_folder(path, "vocab.json");
  folder.merges_txt = find_in_folder(path, "merges.txt");
  folder.special_tokens_map = find_in_folder(path, "special_tokens_map.json");
  folder.added_tokens = find_in_folder(path, "added_tokens.json");
  for (const std::string_view name : {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}) {
    if (!folder.sentencepiece) folder.sentencepiece = find_in_folder(path, name);
  }
  folder.weights = find_weights(path);
  return folder;
}

}  // namespace fettle
