#include "model/layer_names.h"

#include "model/config_keys.h"

namespace fettle {

namespace {

EncoderLayerNames albert_layer_names(const ModelConfig& config, int64_t layer, int64_t block) {
  const std::string shared = "albert.encoder.albert_layer_groups." + std::to_string(config.group_of_layer(layer)) +
                             ".albert_layers." + std::to_string(block) + ".";
  return {.prefix = "albert.encoder.layer." + std::to_string(layer) + "." + std::to_string(block) + ".",
          .query = shared + "attention.query",
          .key = shared + "attention.key",
          .value = shared + "attention.value",
          .attention_output = shared + "attention.dense",
          .attention_norm = shared + "attention.LayerNorm",
          .intermediate = shared + "ffn",
          .output = shared + "ffn_output",
          .output_norm = shared + "full_layer_layer_norm"};
}

EncoderLayerNames own_layer_names(const ModelConfig& config, int64_t layer) {
  if (config.architecture == Architecture::kDistilBert) {
    const std::string prefix = "distilbert.transformer.layer." + std::to_string(layer) + ".";
    return {.prefix = prefix,
            .query = prefix + "attention.q_lin",
            .key = prefix + "attention.k_lin",
            .value = prefix + "attention.v_lin",
            .attention_output = prefix + "attention.out_lin",
            .attention_norm = prefix + "sa_layer_norm",
            .intermediate = prefix + "ffn.lin1",
            .output = prefix + "ffn.lin2",
            .output_norm = prefix + "output_layer_norm"};
  }
  const std::string_view encoder = architecture_keys(config.architecture).parameter_prefix;
  const std::string prefix = std::string(encoder) + "encoder.layer." + std::to_string(layer) + ".";
  return {.prefix = prefix,
          .query = prefix + "attention.self.query",
          .key = prefix + "attention.self.key",
          .value = prefix + "attention.self.value",
          .attention_output = prefix + "attention.output.dense",
          .attention_norm = prefix + "attention.output.LayerNorm",
          .intermediate = prefix + "intermediate.dense",
          .output = prefix + "output.dense",
          .output_norm = prefix + "output.LayerNorm"};
}

}  // namespace

EncoderLayerNames encoder_layer_names(const ModelConfig& config, int64_t layer, int64_t block) {
  if (config.architecture == Architecture::kAlbert) return albert_layer_names(config, layer, block);
  if (const int64_t source = config.source_of_layer(layer); source != layer) {
    EncoderLayerNames names = own_layer_names(config, source);
    names.prefix = own_layer_names(config, layer).prefix;
    return names;
  }
  return own_layer_names(config, layer);
}

std::vector<std::string> modules_of(const EncoderLayerNames& names) {
  return {names.query,          names.key,          names.value,  names.attention_output,
          names.attention_norm, names.intermediate, names.output, names.output_norm};
}

}  // namespace fettle
