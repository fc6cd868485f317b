// BERT (Devlin et al. 2019) with Hugging Face's parameter names.
#include "model/architectures/encoder_builder.h"

namespace fettle {
namespace {

const std::string kWordEmbeddings = "bert.embeddings.word_embeddings";

ValueId hidden_states(EncoderBuilder& builder) {
  const ModelConfig& config = builder.config();
  ValueId x = builder.embed(kWordEmbeddings, config.vocab_size, builder.input("token_ids", "tokens"));
  const ValueId types =
      builder.embed("bert.embeddings.token_type_embeddings", config.n_token_types, builder.input("type_ids", "tokens"));
  const ValueId positions = builder.embed("bert.embeddings.position_embeddings", config.max_positions,
                                          builder.input("position_ids", "tokens"));
  x = builder.add(x, types, "bert.embeddings.types");
  x = builder.add(x, positions, "bert.embeddings.positions");
  x = builder.layer_norm(x, "bert.embeddings.LayerNorm");
  x = builder.dropout(x, config.hidden_dropout, "bert.embeddings.dropout");
  return builder.encoder_layers(x);
}

ValueId classifier(EncoderBuilder& builder, ValueId hidden) {
  const ModelConfig& config = builder.config();
  ValueId x = builder.select(hidden, builder.input("first_tokens", "batch"), "bert.pooler.first_tokens");
  x = builder.linear(x, "bert.pooler.dense", config.hidden_size, config.hidden_size);
  x = builder.activate(x, "tanh", "bert.pooler.activation");
  x = builder.dropout(x, config.classifier_dropout, "dropout");
  return builder.linear(x, "classifier", config.n_labels(), config.hidden_size);
}

ValueId masked_lm(EncoderBuilder& builder, ValueId hidden) {
  const ModelConfig& config = builder.config();
  const std::string head = "cls.predictions";
  ValueId x = builder.select(hidden, builder.input("masked_positions", "masked"), head + ".masked_positions");
  x = builder.linear(x, head + ".transform.dense", config.hidden_size, config.hidden_size);
  x = builder.activate(x, config.activation, head + ".transform.activation");
  x = builder.layer_norm(x, head + ".transform.LayerNorm");
  return builder.tied_decoder(x, kWordEmbeddings + ".weight", head + ".bias", head + ".decoder");
}

}  // namespace

Graph build_bert(const ModelConfig& config, const GraphOptions& options) {
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
