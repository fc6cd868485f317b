#include "model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "model/config_keys.h"
#include "model/factors.h"
#include "model/pruned_heads.h"

namespace fettle {
namespace {

constexpr int64_t kMaxVocab = int64_t{4} << 20;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxHeads = 1024;
constexpr int64_t kMaxHidden = int64_t{1} << 20;
constexpr int64_t kMaxPositions = int64_t{1} << 24;
constexpr int64_t kMaxIntermediate = int64_t{1} << 24;
constexpr int64_t kMaxLabels = int64_t{1} << 20;

// What comes after "Bert" or its like in a name of "architectures".
constexpr std::string_view kClassifierSuffix = "ForSequenceClassification";
constexpr std::array<std::string_view, 3> kHeadlessSuffixes = {"ForMaskedLM", "Model", "ForPreTraining"};

Architecture parse_model_type(const Json& json, std::string_view where) {
  const std::string type = json_string(json, "model_type", where);
  for (const ArchitectureKeys& keys : all_architecture_keys()) {
    if (type == keys.model_type) return keys.architecture;
  }
  std::string known;
  for (const ArchitectureKeys& keys : all_architecture_keys()) {
    known += (known.empty() ? "" : ", ") + std::string(keys.model_type);
  }
  bad_input(std::string(where), fmt::format("model_type \"{}\" is not known", type), "known: " + known);
}

enum class HeadInConfig { kClassifier, kNone, kUnsaid };

HeadInConfig parse_head(const Json& json, const ArchitectureKeys& keys, std::string_view where) {
  const auto found = json.find("architectures");
  if (found == json.end() || found->is_null()) return HeadInConfig::kUnsaid;
  if (!found->is_array() || found->empty() || !found->front().is_string()) {
    bad_input(std::string(where), "\"architectures\" is not a list of names");
  }
  const std::string& name = found->front().get_ref<const std::string&>();
  if (name.starts_with(keys.class_prefix)) {
    const std::string_view suffix = std::string_view(name).substr(keys.class_prefix.size());
    if (suffix == kClassifierSuffix) return HeadInConfig::kClassifier;
    if (std::ranges::find(kHeadlessSuffixes, suffix) != kHeadlessSuffixes.end()) return HeadInConfig::kNone;
  }
  bad_input(std::string(where),
            fmt::format("architecture \"{}\" is not known for model_type \"{}\"", name, keys.model_type),
            fmt::format("known: {0}ForSequenceClassification, {0}ForMaskedLM, {0}Model", keys.class_prefix));
}

std::string parse_activation(const Json& json, std::string_view key, const char* fallback, std::string_view where) {
  const std::string name = json_string_or(json, key, fallback, where);
  if (name == "gelu" || name == "relu") return name;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast" || name == "gelu_tanh")
    return "gelu_tanh";
  bad_input(std::string(where), fmt::format("\"{}\": activation \"{}\" is not known", key, name),
            "known: gelu, gelu_new, gelu_pytorch_tanh, relu");
}

double parse_probability(const Json& json, std::string_view key, double fallback, std::string_view where) {
  const double p = json_number_or(json, key, fallback, where);
  if (!(p >= 0 && p < 1)) bad_input(std::string(where), fmt::format("\"{}\" is {}, not a probability below 1", key, p));
  return p;
}

void check_labels_differ(const std::vector<std::string>& labels, std::string_view where) {
  std::set<std::string_view> seen;
  for (const std::string& label : labels) {
    if (!seen.insert(label).second) bad_input(std::string(where), fmt::format("label \"{}\" appears twice", label));
  }
}

// "id2label" has string keys, as every JSON object.
std::vector<std::string> parse_id2label(const Json& table, std::string_view where) {
  if (!table.is_object()) bad_input(std::string(where), "\"id2label\" is not an object");
  std::vector<std::string> labels(table.size());
  std::vector<bool> given(table.size(), false);
  for (const auto& [key, value] : table.items()) {
    size_t id = table.size();
    if (!key.empty() && key.size() <= 7 && std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; })) {
      id = std::stoul(key);
    }
    if (id >= labels.size() || given[id]) {
      bad_input(std::string(where),
                fmt::format("\"id2label\" has {} entries, so \"{}\" is no id of it", labels.size(), key),
                "ids must run from 0 without gaps");
    }
    if (!value.is_string()) bad_input(std::string(where), fmt::format("\"id2label\"[\"{}\"] is not a string", key));
    labels[id] = value.get<std::string>();
    given[id] = true;
  }
  return labels;
}

std::vector<std::string> parse_label2id(const Json& table, std::string_view where) {
  if (!table.is_object()) bad_input(std::string(where), "\"label2id\" is not an object");
  std::vector<std::string> labels(table.size());
  std::vector<bool> given(table.size(), false);
  for (const auto& [label, value] : table.items()) {
    const int64_t id = json_int(table, label, 0, static_cast<int64_t>(table.size()) - 1, where);
    if (given[static_cast<size_t>(id)]) bad_input(std::string(where), fmt::format("\"label2id\" has id {} twice", id));
    labels[static_cast<size_t>(id)] = label;
    given[static_cast<size_t>(id)] = true;
  }
  return labels;
}

bool has_value(const Json& json, std::string_view key) {
  const auto found = json.find(key);
  return found != json.end() && !found->is_null();
}

std::vector<std::string> parse_labels(const Json& json, HeadInConfig head, std::string_view where) {
  if (head == HeadInConfig::kNone) return {};
  const int64_t n_said = json_int_or(json, "num_labels", -1, -1, kMaxLabels, where);
  std::vector<std::string> labels;
  if (has_value(json, "id2label")) {
    labels = parse_id2label(json["id2label"], where);
  } else if (has_value(json, "label2id")) {
    labels = parse_label2id(json["label2id"], where);
  } else if (head == HeadInConfig::kClassifier || n_said >= 0) {
    const int64_t n = n_said >= 0 ? n_said : 2;  // transformers' default
    for (int64_t i = 0; i < n; ++i) labels.push_back(fmt::format("LABEL_{}", i));
  }
  if (head == HeadInConfig::kClassifier && labels.empty())
    bad_input(std::string(where), "the classifier has no labels");
  if (n_said >= 0 && n_said != static_cast<int64_t>(labels.size())) {
    bad_input(std::string(where), fmt::format("\"num_labels\" is {} but there are {} labels", n_said, labels.size()));
  }
  check_labels_differ(labels, where);
  return labels;
}

constexpr std::array<ProblemType, 3> kProblems = {ProblemType::kSingleLabel, ProblemType::kMultiLabel,
                                                  ProblemType::kRegression};

ProblemType parse_problem(const Json& json, size_t n_labels, std::string_view where) {
  if (!has_value(json, kProblemKey)) return n_labels == 1 ? ProblemType::kRegression : ProblemType::kSingleLabel;
  const std::string name = json_string(json, kProblemKey, where);
  const auto found = std::ranges::find(kProblems, name, problem_name);
  if (found != kProblems.end()) return *found;
  bad_input(std::string(where), fmt::format("\"{}\": \"{}\" is not known", kProblemKey, name),
            "known: single_label_classification, multi_label_classification, regression");
}

std::vector<LayerConfig> parse_equal_layers(const Json& json, const ArchitectureKeys& keys, int64_t hidden_size,
                                            std::string_view where) {
  const int64_t n_layers = json_int(json, keys.n_layers, 1, kMaxLayers, where);
  LayerConfig layer;
  layer.n_heads = json_int(json, keys.n_heads, 1, kMaxHeads, where);
  layer.intermediate_size = json_int(json, keys.intermediate_size, 1, kMaxIntermediate, where);
  if (!has_value(json, kLayersKey) && hidden_size % layer.n_heads != 0) {
    bad_input(std::string(where), fmt::format("\"{}\" {} is not a multiple of \"{}\" {}", keys.hidden_size, hidden_size,
                                              keys.n_heads, layer.n_heads));
  }
  layer.head_dim = std::max<int64_t>(1, hidden_size / layer.n_heads);
  return std::vector<LayerConfig>(static_cast<size_t>(n_layers), layer);
}

void parse_unequal_layers(const Json& list, std::vector<LayerConfig>& layers, std::string_view where) {
  if (!list.is_array() || list.size() != layers.size()) {
    bad_input(std::string(where), fmt::format("\"{}\" is not a list of {} layers", kLayersKey, layers.size()));
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string at = fmt::format("{}: {}[{}]", where, kLayersKey, i);
    if (!list[i].is_object()) bad_input(at, "is not an object");
    layers[i].n_heads = json_int(list[i], "n_heads", 1, kMaxHeads, at);
    layers[i].head_dim = json_int(list[i], "head_dim", 1, kMaxHidden, at);
    layers[i].intermediate_size = json_int(list[i], "intermediate_size", 1, kMaxIntermediate, at);
  }
}

// ALBERT's embedding width and groups, with transformers' defaults.
void parse_sharing(const Json& json, ModelConfig& config, std::string_view where) {
  const auto n_layers = static_cast<int64_t>(config.layers.size());
  config.embedding_size = json_int_or(json, kEmbeddingSizeKey, 128, 1, kMaxHidden, where);
  config.n_layer_groups = json_int_or(json, kGroupsKey, 1, 1, n_layers, where);
  config.blocks_per_group = json_int_or(json, kBlocksKey, 1, 1, kMaxLayers, where);
  if (n_layers * config.blocks_per_group > kMaxLayers) {
    bad_input(std::string(where), fmt::format("{} layers of {} blocks are more than {} in all", n_layers,
                                              config.blocks_per_group, kMaxLayers));
  }
}

// Layers of one group have one set of parameters.
void check_groups_alike(const ModelConfig& config, std::string_view where) {
  for (size_t i = 1; i < config.layers.size(); ++i) {
    const auto layer = static_cast<int64_t>(i);
    const bool same_group = config.group_of_layer(layer) == config.group_of_layer(layer - 1);
    if (!same_group || config.layers[i] == config.layers[i - 1]) continue;
    bad_input(std::string(where),
              fmt::format("\"{}\": layers {} and {} share their parameters but differ", kLayersKey, i - 1, i));
  }
}

double usual_classifier_dropout(const ModelConfig& config) {
  if (config.architecture == Architecture::kDistilBert) return 0.2;
  return config.architecture == Architecture::kAlbert ? 0.1 : config.hidden_dropout;
}

// What changes the computation in a way that no graph here follows.
void refuse_unknown_variants(const Json& json, std::string_view where) {
  const std::string position = json_string_or(json, "position_embedding_type", "absolute", where);
  if (position != "absolute") {
    bad_input(std::string(where), fmt::format("\"position_embedding_type\" \"{}\" is not supported", position),
              "only \"absolute\" is");
  }
  for (const std::string_view key : {"is_decoder", "add_cross_attention"}) {
    if (json_bool_or(json, key, false, where)) {
      bad_input(std::string(where), fmt::format("\"{}\" is true: only encoders are supported", key));
    }
  }
}

Json without_known_keys(const Json& json, const ArchitectureKeys& keys, bool has_labels) {
  Json other = json;
  for (const std::string_view key : keys.known()) other.erase(std::string(key));
  if (has_labels) {
    for (const char* key : {"architectures", "id2label", "label2id", "num_labels"}) other.erase(key);
  }
  return other;
}

}  // namespace

std::string_view problem_name(ProblemType problem) {
  switch (problem) {
    case ProblemType::kSingleLabel:
      return "single_label_classification";
    case ProblemType::kMultiLabel:
      return "multi_label_classification";
    case ProblemType::kRegression:
      return "regression";
  }
  return "?";
}

int64_t ModelConfig::first_position() const {
  return architecture_keys(architecture).positions_follow_padding ? pad_token_id + 1 : 0;
}

ModelConfig parse_config(const Json& json, std::string_view where) {
  if (!json.is_object()) bad_input(std::string(where), "is not a JSON object");
  ModelConfig config;
  config.architecture = parse_model_type(json, where);
  const ArchitectureKeys& keys = architecture_keys(config.architecture);
  const HeadInConfig head = parse_head(json, keys, where);
  refuse_unknown_variants(json, where);

  config.vocab_size = json_int(json, "vocab_size", 1, kMaxVocab, where);
  config.hidden_size = json_int(json, keys.hidden_size, 1, kMaxHidden, where);
  config.pad_token_id = json_int_or(json, "pad_token_id", keys.pad_token_id, 0, kMaxVocab - 1, where);
  const int64_t n_rows = json_int(json, "max_position_embeddings", 1, kMaxPositions, where);
  config.max_positions = n_rows - config.first_position();
  if (config.max_positions < 1) {
    bad_input(std::string(where), fmt::format("\"max_position_embeddings\" {} leaves no position behind "
                                              "\"pad_token_id\" {}",
                                              n_rows, config.pad_token_id));
  }
  config.n_token_types = keys.has_token_types ? json_int_or(json, "type_vocab_size", 2, 1, kMaxVocab, where) : 0;
  config.layers = parse_equal_layers(json, keys, config.hidden_size, where);
  if (keys.shares_layers) parse_sharing(json, config, where);
  if (has_value(json, kLayersKey)) {
    parse_unequal_layers(json[kLayersKey], config.layers, where);
  } else if (has_value(json, kPrunedHeadsKey)) {
    read_pruned_heads(json[kPrunedHeadsKey], config.layers, where);
  }
  if (keys.shares_layers) check_groups_alike(config, where);
  config.activation = parse_activation(json, keys.activation, keys.shares_layers ? "gelu_new" : "gelu", where);
  const double usual_dropout = keys.shares_layers ? 0 : 0.1;
  config.hidden_dropout = parse_probability(json, keys.hidden_dropout, usual_dropout, where);
  config.attention_dropout = parse_probability(json, keys.attention_dropout, usual_dropout, where);
  config.classifier_dropout = parse_probability(json, keys.classifier_dropout, usual_classifier_dropout(config), where);
  config.layer_norm_eps = json_number_or(json, "layer_norm_eps", 1e-12, where);
  if (!(config.layer_norm_eps > 0 && config.layer_norm_eps < 1)) {
    bad_input(std::string(where), fmt::format("\"layer_norm_eps\" is {}, not between 0 and 1", config.layer_norm_eps));
  }
  config.initializer_range = json_number_or(json, "initializer_range", 0.02, where);
  if (!(config.initializer_range >= 0 && config.initializer_range <= 1e3)) {
    bad_input(std::string(where), fmt::format("\"initializer_range\" is {}", config.initializer_range));
  }
  config.labels = parse_labels(json, head, where);
  config.problem = parse_problem(json, config.labels.size(), where);
  config.other = without_known_keys(json, keys, !config.labels.empty());
  parse_factors(json, config, where);
  return config;
}

}  // namespace fettle
