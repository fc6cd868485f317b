// Where features are read in the graph of an encoder: hidden states, embeddings, queries, keys and values.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "graph/graph.h"
#include "model/config.h"

namespace fettle {

enum class TapKind : uint8_t { kHidden, kEmbeddings, kQuery, kKey, kValue };

struct Tap {
  TapKind kind = TapKind::kHidden;
  int64_t layer = 0;  // 0 for embeddings
  auto operator<=>(const Tap&) const = default;
};

std::string tap_name(const Tap& tap);  // "hidden.5", "embeddings", "query.11"
int64_t tap_width(const ModelConfig& config, const Tap& tap);
// The value [tokens, tap_width()] in a graph that build_graph made of `config`. Hidden states are those after the
// layer's last norm, embeddings those after their norm and before dropout. Layers that share their parameters (ALBERT)
// are told apart by their order. Error kFailed when the graph has no such place.
ValueId find_tap(const Graph& graph, const ModelConfig& config, const Tap& tap);

}  // namespace fettle
