// The files of a model folder in Hugging Face layout.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace fettle {

// `name` below `folder` when it is a regular file there; nullopt when there is nothing of that name. kBadInput when the
// name is empty, absolute or has a ".." part, when a symbolic link leads out of the folder (the blobs of the Hugging
// Face cache that the folder belongs to are allowed), or when it is no regular file.
std::optional<std::filesystem::path> find_in_folder(const std::filesystem::path& folder, std::string_view name);
// The same; an absent file is kIo.
std::filesystem::path require_in_folder(const std::filesystem::path& folder, std::string_view name);

enum class WeightsLayout { kSafetensors, kPytorch };

struct WeightFiles {
  WeightsLayout layout;
  // The one file, or the shards in order of name, each once.
  std::vector<std::filesystem::path> files;
  // With an index: (tensor, position in files) in the index's order. Empty without.
  std::vector<std::pair<std::string, size_t>> weight_map;
  // The index itself, when there is one.
  std::optional<std::filesystem::path> index;
};

// nullopt when the folder has none. The order of preference is TensorStore's.
std::optional<WeightFiles> find_weights(const std::filesystem::path& folder);

// What the folder holds; absent files are nullopt. Only config.json must be there.
struct HfFolder {
  std::filesystem::path path;
  Json config;  // config.json, an object
  std::optional<Json> generation_config;
  std::optional<Json> tokenizer_config;
  std::optional<std::filesystem::path> tokenizer_json;
  std::optional<std::filesystem::path> vocab_txt;
  std::optional<std::filesystem::path> vocab_json;
  std::optional<std::filesystem::path> merges_txt;
  std::optional<std::filesystem::path> special_tokens_map;
  std::optional<std::filesystem::path> added_tokens;
  std::optional<std::filesystem::path> sentencepiece;  // tokenizer.model, spiece.model or sentencepiece.bpe.model
  std::optional<WeightFiles> weights;
};

// Errors: kIo when the folder or its config.json is absent; kBadInput naming the file at fault.
HfFolder open_hf_folder(const std::filesystem::path& path);

}  // namespace fettle
