#include "model/pruned_heads.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"

namespace fettle {

void read_pruned_heads(const Json& table, std::vector<LayerConfig>& layers, std::string_view where) {
  if (!table.is_object()) bad_input(std::string(where), fmt::format("\"{}\" is not an object", kPrunedHeadsKey));
  for (const auto& [key, heads] : table.items()) {
    const std::string at = fmt::format("{}: {}[\"{}\"]", where, kPrunedHeadsKey, key);
    size_t layer = layers.size();
    if (!key.empty() && key.size() <= 4 && std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; })) {
      layer = std::stoul(key);
    }
    if (layer >= layers.size()) bad_input(at, fmt::format("is no layer of {}", layers.size()));
    std::set<int64_t> gone;
    for (const Json& head : heads.is_array() ? heads : Json::array({nullptr})) {
      if (!head.is_number_integer() || head < 0 || head >= layers[layer].n_heads) bad_input(at, "is no list of heads");
      gone.insert(head.get<int64_t>());
    }
    layers[layer].n_heads -= static_cast<int64_t>(gone.size());
    if (layers[layer].n_heads < 1) bad_input(at, "leaves the layer without heads", "at least one must stay");
  }
}

int64_t heads_before_pruning(const ModelConfig& config) {
  const LayerConfig& first = config.layers.front();
  if (config.shares_layers() || config.hidden_size % first.head_dim != 0) return 0;
  const int64_t n_heads = config.hidden_size / first.head_dim;
  const bool fits = std::ranges::all_of(config.layers, [&](const LayerConfig& layer) {
    return layer.head_dim == first.head_dim && layer.intermediate_size == first.intermediate_size &&
           layer.n_heads <= n_heads;
  });
  return fits ? n_heads : 0;
}

Json write_pruned_heads(const std::vector<LayerConfig>& layers, int64_t n_heads) {
  Json table = Json::object();
  for (size_t i = 0; i < layers.size(); ++i) {
    Json gone = Json::array();
    for (int64_t head = layers[i].n_heads; head < n_heads; ++head) gone.push_back(head);
    if (!gone.empty()) table[std::to_string(i)] = std::move(gone);
  }
  return table;
}

}  // namespace fettle
