// What transformers' config.json has for layers that lost heads: "pruned_heads": {"layer": [heads that are gone], …}.
#pragma once

#include <string_view>
#include <vector>

#include "base/json.h"
#include "model/config.h"

namespace fettle {

inline constexpr const char* kPrunedHeadsKey = "pruned_heads";

// Takes the heads that are gone off the layers, which have all of them. kBadInput naming `where` for what is no such
// table, and for layers that would have none left.
void read_pruned_heads(const Json& table, std::vector<LayerConfig>& layers, std::string_view where);

// The heads that every layer had before any went, where transformers' keys can say all else of the layers; else 0.
int64_t heads_before_pruning(const ModelConfig& config);
// Which heads are gone shows in the weights alone, so the last ones stand for them.
Json write_pruned_heads(const std::vector<LayerConfig>& layers, int64_t n_heads);

}  // namespace fettle
