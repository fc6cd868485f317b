// The shape of a model, with widths per layer, read from and written to Hugging Face's config.json.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace fettle {

enum class Architecture : uint8_t { kBert, kDistilBert, kRoberta, kXlmRoberta, kAlbert };

// What a classification head's outputs mean: transformers' "problem_type".
enum class ProblemType : uint8_t {
  kSingleLabel,  // one label: softmax
  kMultiLabel,   // any number of labels: a sigmoid each
  kRegression    // numbers, as they are
};

struct LayerConfig {
  int64_t n_heads = 12;
  int64_t head_dim = 64;  // n_heads · head_dim need not be hidden_size
  int64_t intermediate_size = 3072;
  bool operator==(const LayerConfig&) const = default;
};

// How a linear that is part of a stack is computed (Tucker decomposition of the same matrix of many layers): y = out ·
// core · in · x + bias, where `in` [in_rank, in] and `out` [out, out_rank] belong to the linear that `owner` names and
// serve all linears of its stack, and core [out_rank, in_rank] is the linear's own.
struct StackedFactors {
  std::string owner;  // itself for the first of a stack
  int64_t in_rank = 0;
  int64_t out_rank = 0;
  bool operator==(const StackedFactors&) const = default;
};

struct ModelConfig {
  Architecture architecture = Architecture::kBert;
  int64_t vocab_size = 30522;
  int64_t hidden_size = 768;
  int64_t max_positions = 512;  // of the longest input; what "max_position_embeddings" says less first_position()
  int64_t n_token_types = 2;    // 0 for DistilBERT
  std::vector<LayerConfig> layers;
  // ALBERT: tables narrower than the hidden states (0: as wide), and layers that share the parameters of a few groups,
  // each of so many blocks one behind the other.
  int64_t embedding_size = 0;
  int64_t n_layer_groups = 1;
  int64_t blocks_per_group = 1;
  // Matrices stored as two factors, by the name of the linear or table, and their ranks (model/factors.h).
  std::map<std::string, int64_t, std::less<>> ranks;
  // Linears stored as a core between factors that a stack of layers shares.
  std::map<std::string, StackedFactors, std::less<>> stacked;
  // Layer i computes with the parameters of layer layer_sources[i], which is no later and has its own; empty: each with
  // its own.
  std::vector<int64_t> layer_sources;
  std::string activation = "gelu";  // "gelu", "gelu_tanh", "relu"
  double layer_norm_eps = 1e-12;
  double hidden_dropout = 0.1;
  double attention_dropout = 0.1;
  double classifier_dropout = 0.1;
  double initializer_range = 0.02;
  int64_t pad_token_id = 0;
  std::vector<std::string> labels;  // by id; empty for a model without a classification head
  ProblemType problem = ProblemType::kSingleLabel;
  // Everything of the file that is not named above, kept and written back ("torch_dtype", "transformers_version", …).
  Json other = Json::object();

  int64_t n_labels() const { return static_cast<int64_t>(labels.size()); }
  // Row of the position table for the first token of a sequence: behind the padding's in RoBERTa and XLM-R, else 0.
  int64_t first_position() const;
  int64_t n_position_rows() const { return first_position() + max_positions; }
  int64_t table_width() const { return embedding_size > 0 ? embedding_size : hidden_size; }
  bool shares_layers() const { return architecture == Architecture::kAlbert; }
  bool has_factors() const { return !ranks.empty() || !stacked.empty(); }
  int64_t source_of_layer(int64_t layer) const {
    return layer_sources.empty() ? layer : layer_sources[static_cast<size_t>(layer)];
  }
  int64_t group_of_layer(int64_t layer) const { return layer * n_layer_groups / static_cast<int64_t>(layers.size()); }
};

// "multi_label_classification" and its like.
std::string_view problem_name(ProblemType problem);
// A head with one output and no "problem_type" is one of regression, as in transformers.
// Errors: kBadInput naming `where` and the key for missing, mistyped or out-of-range values (limits in hardening.md),
// and for architectures that fettle does not know. Layers of unequal width are read from the key "fettle_layers".
ModelConfig parse_config(const Json& json, std::string_view where);
Json config_to_json(const ModelConfig& config);

// hidden_size [layers] of equal width, head_dim 64 (32 when hidden_size is not a multiple of 64), intermediate 4 ·
// hidden_size.
ModelConfig make_encoder_config(int64_t n_layers, int64_t hidden_size, int64_t vocab_size);

}  // namespace fettle
