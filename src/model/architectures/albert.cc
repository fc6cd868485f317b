// ALBERT (Lan et al. 2020) with Hugging Face's parameter names: narrow tables, and layers that share their parameters.
#include "model/architectures/encoder_builder.h"

namespace fettle {
namespace {

const std::string kEmbeddings = "albert.embeddings";

ValueId hidden_states(EncoderBuilder& builder) {
  const ModelConfig& config = builder.config();
  const ValueId x = builder.embeddings(kEmbeddings);
  return builder.encoder_layers(
      builder.linear(x, "albert.encoder.embedding_hidden_mapping_in", config.hidden_size, config.table_width()));
}

ValueId classifier(EncoderBuilder& builder, ValueId hidden) {
  const ModelConfig& config = builder.config();
  ValueId x = builder.select(hidden, builder.input("first_tokens", "batch"), "albert.pooler.first_tokens");
  x = builder.linear(x, "albert.pooler", config.hidden_size, config.hidden_size);
  x = builder.activate(x, "tanh", "albert.pooler.activation");
  x = builder.dropout(x, config.classifier_dropout, "dropout");
  return builder.linear(x, "classifier", config.n_labels(), config.hidden_size);
}

ValueId masked_lm(EncoderBuilder& builder, ValueId hidden) {
  const ModelConfig& config = builder.config();
  ValueId x = builder.select(hidden, builder.input("masked_positions", "masked"), "predictions.masked_positions");
  x = builder.linear(x, "predictions.dense", config.table_width(), config.hidden_size);
  x = builder.activate(x, config.activation, "predictions.activation");
  x = builder.layer_norm(x, "predictions.LayerNorm", config.table_width());
  return builder.tied_decoder(x, kEmbeddings + ".word_embeddings", "predictions.bias", "predictions.decoder");
}

}  // namespace

Graph build_albert(const ModelConfig& config, const GraphOptions& options) {
  EncoderBuilder builder(config, options);
  const ValueId hidden = hidden_states(builder);
  switch (options.head) {
    case GraphOptions::Head::kClassifier:
      return builder.finish("logits", classifier(builder, hidden));
    case GraphOptions::Head::kMaskedLm:
      return builder.finish("logits", masked_lm(builder, hidden));
    case GraphOptions::Head::kHidden:
      break;
  }
  return builder.finish("hidden", hidden);
}

}  // namespace fettle
