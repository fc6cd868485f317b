#include "train/distill/taps.h"

#include "base/error.h"
#include "model/config_keys.h"
#include "model/layer_names.h"

namespace fettle {
namespace {

// How many layers before this one have its parameters.
int64_t earlier_uses(const ModelConfig& config, int64_t layer) {
  const auto owner = [&config](int64_t i) {
    return config.shares_layers() ? config.group_of_layer(i) : config.source_of_layer(i);
  };
  int64_t n = 0;
  for (int64_t i = 0; i < layer; ++i) n += owner(i) == owner(layer);
  return n;
}

std::string node_name(const ModelConfig& config, const Tap& tap) {
  if (tap.kind == TapKind::kEmbeddings) {
    return std::string(architecture_keys(config.architecture).parameter_prefix) + "embeddings.LayerNorm";
  }
  const EncoderLayerNames names = encoder_layer_names(config, tap.layer, config.blocks_per_group - 1);
  switch (tap.kind) {
    case TapKind::kQuery:
      return names.query;
    case TapKind::kKey:
      return names.key;
    case TapKind::kValue:
      return names.value;
    default:
      return names.output_norm;
  }
}

}  // namespace

std::string tap_name(const Tap& tap) {
  const std::string layer = "." + std::to_string(tap.layer);
  switch (tap.kind) {
    case TapKind::kEmbeddings:
      return "embeddings";
    case TapKind::kQuery:
      return "query" + layer;
    case TapKind::kKey:
      return "key" + layer;
    case TapKind::kValue:
      return "value" + layer;
    case TapKind::kHidden:
      break;
  }
  return "hidden" + layer;
}

int64_t tap_width(const ModelConfig& config, const Tap& tap) {
  if (tap.kind == TapKind::kEmbeddings) return config.table_width();
  if (tap.kind == TapKind::kHidden) return config.hidden_size;
  const LayerConfig& layer = config.layers[static_cast<size_t>(tap.layer)];
  return layer.n_heads * layer.head_dim;
}

ValueId find_tap(const Graph& graph, const ModelConfig& config, const Tap& tap) {
  const std::string name = node_name(config, tap);
  int64_t to_skip = earlier_uses(config, tap.layer);
  for (const Node& node : graph.nodes()) {
    if (node.name == name && to_skip-- == 0) return node.outputs[0];
  }
  failed("graph", "has no node '" + name + "' to read " + tap_name(tap) + " at");
}

}  // namespace fettle
