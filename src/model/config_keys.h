// The names that each architecture's config.json gives to the same things.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace fettle {

// Widths of layers that differ, which transformers has no key for: [{n_heads, head_dim, intermediate_size}, …].
inline constexpr const char* kLayersKey = "fettle_layers";

// Matrices stored as factors: {"bert.encoder.layer.0.intermediate.dense": 64, …}; stacks of them: {name: {"owner":
// name, "in_rank": 64, "out_rank": 64}, …}; the layer whose parameters each layer has: [0, 0, 2, 2].
inline constexpr const char* kRanksKey = "fettle_ranks";
inline constexpr const char* kStackedKey = "fettle_stacked";
inline constexpr const char* kSourcesKey = "fettle_shared_layers";

// Left in ModelConfig::other as it was read; written anew where it says something.
inline constexpr const char* kProblemKey = "problem_type";

// ALBERT's own.
inline constexpr const char* kEmbeddingSizeKey = "embedding_size";
inline constexpr const char* kGroupsKey = "num_hidden_groups";
inline constexpr const char* kBlocksKey = "inner_group_num";

struct ArchitectureKeys {
  Architecture architecture;
  std::string_view model_type;
  std::string_view class_prefix;      // of the names in "architectures"
  std::string_view parameter_prefix;  // of the encoder's parameters
  std::string_view hidden_size;
  std::string_view n_layers;
  std::string_view n_heads;
  std::string_view intermediate_size;
  std::string_view activation;
  std::string_view hidden_dropout;
  std::string_view attention_dropout;
  std::string_view classifier_dropout;
  // Of the heads: the dense layer before the labels', the labels' own, and what tells that a masked-word head is there.
  std::string_view hidden_head;
  std::string_view label_layer;
  std::string_view lm_head_bias;
  bool has_token_types = true;
  bool shares_layers = false;             // ALBERT
  bool positions_follow_padding = false;  // position ids begin behind pad_token_id
  int64_t pad_token_id = 0;               // where config.json has none

  // Every key that ModelConfig has a field for, those of the labels left out.
  std::vector<std::string_view> known() const;
};

std::span<const ArchitectureKeys> all_architecture_keys();
const ArchitectureKeys& architecture_keys(Architecture architecture);

}  // namespace fettle
