#include "model/architectures/encoder_builder.h"

#include <cmath>

#include "model/config_keys.h"
#include "model/factors.h"

namespace fettle {

EncoderBuilder::EncoderBuilder(const ModelConfig& config, const GraphOptions& options)
    : config_(config), options_(options) {}

ValueId EncoderBuilder::parameter(const std::string& name, const Shape& shape) {
  const ValueId found = graph_.find(name);
  return found != kNoValue ? found : graph_.add_parameter(name, shape);
}

ValueId EncoderBuilder::input(const std::string& name, std::string_view symbol, int64_t extra) {
  const ValueId found = graph_.find(name);
  if (found != kNoValue) return found;
  Dim dim = graph_.symbol(symbol);
  dim.value = extra;
  return graph_.add_input(name, TensorType{DType::kI32, {dim}});
}

ValueId EncoderBuilder::linear(ValueId x, const std::string& name, int64_t out_features, int64_t in_features) {
  std::string last = name;
  int64_t width = in_features;
  if (const int64_t rank = rank_of(config_, name); rank > 0) {
    x = product(x, name + kFactorIn, {rank, in_features}, name + kFactorIn);
    last = name + kFactorOut;
    width = rank;
  } else if (const auto stacked = config_.stacked.find(name); stacked != config_.stacked.end()) {
    const auto& [owner, in_rank, out_rank] = stacked->second;
    x = product(x, owner + kFactorIn, {in_rank, in_features}, name + kFactorIn);
    x = product(x, name + kFactorCore, {out_rank, in_rank}, name + kFactorCore);
    last = owner + kFactorOut;
    width = out_rank;
  }
  const ValueId weight = parameter(last + ".weight", {out_features, width});
  const ValueId bias = parameter(name + ".bias", {out_features});
  return graph_.node("linear", {x, weight, bias}, {}, name);
}

ValueId EncoderBuilder::product(ValueId x, const std::string& module, const Shape& shape, const std::string& name) {
  return graph_.node("linear", {x, parameter(module + ".weight", shape)}, {}, name);
}

ValueId EncoderBuilder::add(ValueId a, ValueId b, const std::string& name) {
  return graph_.node("add", {a, b}, {}, name);
}

ValueId EncoderBuilder::layer_norm(ValueId x, const std::string& name, int64_t width) {
  const ValueId gamma = parameter(name + ".weight", {width});
  const ValueId beta = parameter(name + ".bias", {width});
  return graph_.add_nodes("layer_norm", {x, gamma, beta}, {{"eps", config_.layer_norm_eps}}, name).front();
}

ValueId EncoderBuilder::activate(ValueId x, const std::string& kind, const std::string& name) {
  return graph_.node("activate", {x}, {{"kind", kind}}, name);
}

ValueId EncoderBuilder::dropout(ValueId x, double p, const std::string& name) {
  if (!options_.training || p <= 0) return x;
  return graph_.node("dropout", {x}, {{"p", p}, {"stream", next_stream_++}}, name);
}

ValueId EncoderBuilder::embed(const std::string& table_name, int64_t rows, ValueId ids) {
  const int64_t rank = rank_of(config_, table_name);
  const ValueId table = parameter(table_name + ".weight", {rows, rank > 0 ? rank : config_.table_width()});
  const ValueId x = graph_.node("gather_rows", {table, ids}, {}, table_name);
  if (rank == 0) return x;
  return product(x, table_name + kFactorOut, {config_.table_width(), rank}, table_name + kFactorOut);
}

ValueId EncoderBuilder::embeddings(const std::string& prefix) {
  ValueId x = embed(prefix + ".word_embeddings", config_.vocab_size, input("token_ids", "tokens"));
  if (architecture_keys(config_.architecture).has_token_types) {
    const ValueId types = embed(prefix + ".token_type_embeddings", config_.n_token_types, input("type_ids", "tokens"));
    x = add(x, types, prefix + ".types");
  }
  const ValueId positions =
      embed(prefix + ".position_embeddings", config_.n_position_rows(), input("position_ids", "tokens"));
  x = add(x, positions, prefix + ".positions");
  x = layer_norm(x, prefix + ".LayerNorm", config_.table_width());
  return dropout(x, config_.hidden_dropout, prefix + ".dropout");
}

ValueId EncoderBuilder::select(ValueId x, ValueId rows, const std::string& name) {
  return graph_.node("gather_rows", {x, rows}, {}, name);
}

ValueId EncoderBuilder::attention(ValueId x, const LayerConfig& layer, const EncoderLayerNames& names) {
  const int64_t width = layer.n_heads * layer.head_dim;
  const ValueId q = linear(x, names.query, width, config_.hidden_size);
  const ValueId k = linear(x, names.key, width, config_.hidden_size);
  const ValueId v = linear(x, names.value, width, config_.hidden_size);
  Attributes attributes{{"n_heads", layer.n_heads},
                        {"head_dim", layer.head_dim},
                        {"scale", 1.0 / std::sqrt(static_cast<double>(layer.head_dim))}};
  if (options_.training) {
    attributes.set("keep_probabilities", true);
    attributes.set("dropout", config_.attention_dropout);
    attributes.set("stream", next_stream_++);
  }
  const ValueId offsets = input("offsets", "batch", 1);
  return graph_.add_nodes("attention", {q, k, v, offsets}, attributes, names.prefix + "attention").front();
}

ValueId EncoderBuilder::encoder_layer(ValueId x, const LayerConfig& layer, const EncoderLayerNames& names) {
  const int64_t hidden = config_.hidden_size;
  ValueId y = attention(x, layer, names);
  y = linear(y, names.attention_output, hidden, layer.n_heads * layer.head_dim);
  y = dropout(y, config_.hidden_dropout, names.attention_output + ".dropout");
  y = add(y, x, names.prefix + "attention.residual");
  const ValueId attended = layer_norm(y, names.attention_norm, hidden);

  y = linear(attended, names.intermediate, layer.intermediate_size, hidden);
  y = activate(y, config_.activation, names.intermediate + ".activation");
  y = linear(y, names.output, hidden, layer.intermediate_size);
  // ALBERT has none here.
  if (!config_.shares_layers()) y = dropout(y, config_.hidden_dropout, names.output + ".dropout");
  y = add(y, attended, names.prefix + "output.residual");
  return layer_norm(y, names.output_norm, hidden);
}

ValueId EncoderBuilder::encoder_layers(ValueId x) {
  for (size_t i = 0; i < config_.layers.size(); ++i) {
    for (int64_t block = 0; block < config_.blocks_per_group; ++block) {
      x = encoder_layer(x, config_.layers[i], encoder_layer_names(config_, static_cast<int64_t>(i), block));
    }
  }
  return x;
}

ValueId EncoderBuilder::tied_decoder(ValueId x, const std::string& table_name, const std::string& bias_name,
                                     const std::string& name) {
  const int64_t rank = rank_of(config_, table_name);
  if (rank > 0) {
    const ValueId factor = parameter(table_name + kFactorOut + ".weight", {config_.table_width(), rank});
    x = graph_.node("matmul", {x, factor}, {}, name + kFactorOut);
  }
  const ValueId table =
      parameter(table_name + ".weight", {config_.vocab_size, rank > 0 ? rank : config_.table_width()});
  const ValueId bias = parameter(bias_name, {config_.vocab_size});
  return graph_.node("linear", {x, table, bias}, {}, name);
}

Graph EncoderBuilder::finish(std::string output_name, ValueId output) {
  graph_.add_output(std::move(output_name), output);
  return std::move(graph_);
}

}  // namespace fettle
