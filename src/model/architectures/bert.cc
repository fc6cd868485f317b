// BERT (Devlin et al. 2019) with Hugging Face's parameter names.
#include "model/architectures/encoder_builder.h"

namespace fettle {
namespace {

const std::string kWordEmbeddings = "bert.embeddings.word_embeddings";

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
  x = builder.layer_norm(x, head + ".transform.LayerNorm", config.hidden_size);
  return builder.tied_decoder(x, kWordEmbeddings, head + ".bias", head + ".decoder");
}

}  // namespace

Graph build_bert(const ModelConfig& config, const GraphOptions& options) {
  EncoderBuilder builder(config, options);
  const ValueId hidden = builder.encoder_layers(builder.embeddings("bert.embeddings"));
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
