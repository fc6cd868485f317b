// DistilBERT (Sanh et al. 2019) with Hugging Face's parameter names: no token types, no pooler.
#include "model/architectures/encoder_builder.h"

namespace fettle {
namespace {

const std::string kWordEmbeddings = "distilbert.embeddings.word_embeddings";

ValueId classifier(EncoderBuilder& builder, ValueId hidden) {
  const ModelConfig& config = builder.config();
  ValueId x = builder.select(hidden, builder.input("first_tokens", "batch"), "first_tokens_of_hidden");
  x = builder.linear(x, "pre_classifier", config.hidden_size, config.hidden_size);
  x = builder.activate(x, "relu", "pre_classifier.activation");
  x = builder.dropout(x, config.classifier_dropout, "dropout");
  return builder.linear(x, "classifier", config.n_labels(), config.hidden_size);
}

ValueId masked_lm(EncoderBuilder& builder, ValueId hidden) {
  const ModelConfig& config = builder.config();
  ValueId x = builder.select(hidden, builder.input("masked_positions", "masked"), "masked_positions_of_hidden");
  x = builder.linear(x, "vocab_transform", config.hidden_size, config.hidden_size);
  x = builder.activate(x, config.activation, "vocab_transform.activation");
  x = builder.layer_norm(x, "vocab_layer_norm", config.hidden_size);
  return builder.tied_decoder(x, kWordEmbeddings, "vocab_projector.bias", "vocab_projector");
}

}  // namespace

Graph build_distilbert(const ModelConfig& config, const GraphOptions& options) {
  EncoderBuilder builder(config, options);
  const ValueId hidden = builder.encoder_layers(builder.embeddings("distilbert.embeddings"));
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
