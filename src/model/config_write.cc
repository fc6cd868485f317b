#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/config.h"
#include "model/config_keys.h"
#include "model/factors.h"
#include "model/pruned_heads.h"

namespace fettle {
namespace {

bool fits_plain_keys(const ModelConfig& config) {
  const LayerConfig& first = config.layers.front();
  return first.n_heads * first.head_dim == config.hidden_size &&
         std::ranges::all_of(config.layers, [&](const LayerConfig& layer) { return layer == first; });
}

void check_groups_alike(const ModelConfig& config) {
  for (size_t i = 1; i < config.layers.size(); ++i) {
    const auto layer = static_cast<int64_t>(i);
    const bool same_group = config.group_of_layer(layer) == config.group_of_layer(layer - 1);
    if (same_group && config.layers[i] != config.layers[i - 1]) {
      usage_error("config", "layers that share their parameters must be alike");
    }
  }
}

Json layers_to_json(const std::vector<LayerConfig>& layers) {
  Json list = Json::array();
  for (const LayerConfig& layer : layers) {
    list.push_back(
        {{"n_heads", layer.n_heads}, {"head_dim", layer.head_dim}, {"intermediate_size", layer.intermediate_size}});
  }
  return list;
}

std::string hugging_face_activation(const std::string& activation) {
  return activation == "gelu_tanh" ? "gelu_new" : activation;
}

// Only several single labels go without saying; what was said before is said again.
bool must_name_problem(const ModelConfig& config) {
  const auto read = config.other.find(kProblemKey);
  const bool was_said = read != config.other.end() && !read->is_null();
  return was_said || config.problem != ProblemType::kSingleLabel || config.labels.size() == 1;
}

void write_labels(const ModelConfig& config, const ArchitectureKeys& keys, Json& json) {
  json["architectures"] = Json::array({fmt::format("{}ForSequenceClassification", keys.class_prefix)});
  Json id2label = Json::object();
  Json label2id = Json::object();
  for (size_t i = 0; i < config.labels.size(); ++i) {
    id2label[std::to_string(i)] = config.labels[i];
    label2id[config.labels[i]] = i;
  }
  json["id2label"] = std::move(id2label);
  json["label2id"] = std::move(label2id);
  if (must_name_problem(config)) json[kProblemKey] = std::string(problem_name(config.problem));
}

}  // namespace

Json config_to_json(const ModelConfig& config) {
  const ArchitectureKeys& keys = architecture_keys(config.architecture);
  if (config.layers.empty()) usage_error("config", "has no layers");
  Json json = Json::object();
  if (!config.labels.empty()) {
    write_labels(config, keys, json);
  } else {
    // First even when it was read, so that writing again gives the same bytes.
    const auto read = config.other.find("architectures");
    json["architectures"] =
        read != config.other.end() ? *read : Json::array({fmt::format("{}ForMaskedLM", keys.class_prefix)});
  }
  const auto set = [&json](std::string_view key, auto value) { json[std::string(key)] = value; };
  set("model_type", std::string(keys.model_type));
  set("vocab_size", config.vocab_size);
  set(keys.hidden_size, config.hidden_size);
  set(keys.n_layers, static_cast<int64_t>(config.layers.size()));
  set(keys.n_heads, config.layers.front().n_heads);
  set(keys.intermediate_size, config.layers.front().intermediate_size);
  if (keys.shares_layers) {
    set(kEmbeddingSizeKey, config.table_width());
    set(kGroupsKey, config.n_layer_groups);
    set(kBlocksKey, config.blocks_per_group);
    check_groups_alike(config);
  }
  if (!fits_plain_keys(config)) {
    set(kLayersKey, layers_to_json(config.layers));
    if (const int64_t n_heads = heads_before_pruning(config); n_heads > 0) {
      set(keys.n_heads, n_heads);
      set(kPrunedHeadsKey, write_pruned_heads(config.layers, n_heads));
    }
  }
  write_factors(config, json);
  set(keys.activation, hugging_face_activation(config.activation));
  set("max_position_embeddings", config.n_position_rows());
  if (keys.has_token_types) set("type_vocab_size", config.n_token_types);
  set(keys.hidden_dropout, config.hidden_dropout);
  set(keys.attention_dropout, config.attention_dropout);
  set(keys.classifier_dropout, config.classifier_dropout);
  set("layer_norm_eps", config.layer_norm_eps);
  set("initializer_range", config.initializer_range);
  set("pad_token_id", config.pad_token_id);
  for (const auto& [key, value] : config.other.items()) {
    const bool is_stale = key == "num_labels" && !config.labels.empty();
    if (!is_stale && !json.contains(key)) json[key] = value;
  }
  return json;
}

ModelConfig make_encoder_config(int64_t n_layers, int64_t hidden_size, int64_t vocab_size) {
  const int64_t head_dim = hidden_size % 64 == 0 ? 64 : 32;
  if (n_layers < 1 || hidden_size < 1 || hidden_size % head_dim != 0) {
    usage_error("model shape", fmt::format("{} layers of width {}", n_layers, hidden_size),
                "at least one layer, and a width that is a multiple of 32");
  }
  ModelConfig config;
  config.vocab_size = vocab_size;
  config.hidden_size = hidden_size;
  const LayerConfig layer{
      .n_heads = hidden_size / head_dim, .head_dim = head_dim, .intermediate_size = 4 * hidden_size};
  config.layers.assign(static_cast<size_t>(n_layers), layer);
  return config;
}

}  // namespace fettle
