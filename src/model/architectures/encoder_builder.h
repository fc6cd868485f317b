// What the graphs of BERT-like encoders have in common.
#pragma once

#include <string>

#include "graph/graph.h"
#include "model/layer_names.h"
#include "model/model.h"

namespace fettle {

// Appends the usual pieces to a graph; dropout only when it is for training, each with a stream of its own.
class EncoderBuilder {
 public:
  EncoderBuilder(const ModelConfig& config, const GraphOptions& options);

  const ModelConfig& config() const { return config_; }
  bool training() const { return options_.training; }

  // The parameter of that name, made when it is new (tied weights are used twice).
  ValueId parameter(const std::string& name, const Shape& shape);
  ValueId input(const std::string& name, std::string_view symbol, int64_t extra = 0);  // i32 [symbol + extra]

  // x Wᵀ + b, W being one matrix or the product of its factors (factors.h).
  ValueId linear(ValueId x, const std::string& name, int64_t out_features, int64_t in_features);
  ValueId add(ValueId a, ValueId b, const std::string& name);
  ValueId layer_norm(ValueId x, const std::string& name, int64_t width);
  ValueId activate(ValueId x, const std::string& kind, const std::string& name);
  ValueId dropout(ValueId x, double p, const std::string& name);
  // Rows of a table, which is table_width() wide, itself or by its second factor.
  ValueId embed(const std::string& table_name, int64_t rows, ValueId ids);
  // Words + types (where the model has them) + positions, normalized: [tokens, table width]. Tables are prefix +
  // ".word_embeddings" and so on.
  ValueId embeddings(const std::string& prefix);
  // Rows of the hidden states.
  ValueId select(ValueId x, ValueId rows, const std::string& name);
  // All encoder layers, or ALBERT's blocks, each with the norm after each residual sum: x [tokens, hidden] → [tokens,
  // hidden].
  ValueId encoder_layers(ValueId x);
  // logits [rows, vocab] = x [rows, table width] · embeddingsᵀ + bias; the table's name is without ".weight".
  ValueId tied_decoder(ValueId x, const std::string& table_name, const std::string& bias_name, const std::string& name);

  Graph finish(std::string output_name, ValueId output);

 private:
  ValueId product(ValueId x, const std::string& module, const Shape& shape, const std::string& name);  // no bias
  ValueId encoder_layer(ValueId x, const LayerConfig& layer, const EncoderLayerNames& names);
  ValueId attention(ValueId x, const LayerConfig& layer, const EncoderLayerNames& names);

  const ModelConfig& config_;
  GraphOptions options_;
  Graph graph_;
  int64_t next_stream_ = 1;  // 0 is the data's
};

Graph build_bert(const ModelConfig& config, const GraphOptions& options);
Graph build_distilbert(const ModelConfig& config, const GraphOptions& options);
Graph build_roberta(const ModelConfig& config, const GraphOptions& options);
Graph build_albert(const ModelConfig& config, const GraphOptions& options);

}  // namespace fettle
