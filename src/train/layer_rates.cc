#include "train/layer_rates.h"

#include <cmath>
#include <string>

#include "model/layer_names.h"

namespace fettle {
namespace {

// What all parameters of a layer (of ALBERT: of a group) begin with.
std::string prefix_of_layer(const ModelConfig& config, int64_t layer) {
  if (config.shares_layers()) return "albert.encoder.albert_layer_groups." + std::to_string(layer) + ".";
  return encoder_layer_names(config, layer).prefix;
}

bool is_embedding(std::string_view name) {
  return name.find(".embeddings.") != std::string_view::npos ||
         name.find(".embedding_hidden_mapping_in.") != std::string_view::npos;
}

}  // namespace

double layer_rate_factor(const ModelConfig& config, std::string_view name, double decay) {
  const auto n = config.shares_layers() ? config.n_layer_groups : static_cast<int64_t>(config.layers.size());
  if (is_embedding(name)) return std::pow(decay, static_cast<double>(n + 1));
  for (int64_t layer = 0; layer < n; ++layer) {
    if (name.starts_with(prefix_of_layer(config, layer))) return std::pow(decay, static_cast<double>(n - layer));
  }
  return 1;
}

}  // namespace fettle
