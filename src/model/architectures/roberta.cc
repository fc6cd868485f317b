// RoBERTa (Liu et al. 2019) and XLM-R (Conneau et al. 2020) with Hugging Face's parameter names: BERT without a pooler.
#include "model/architectures/encoder_builder.h"

namespace fettle {
namespace {

const std::string kEmbeddings = "roberta.embeddings";

ValueId classifier(EncoderBuilder& builder, ValueId hidden) {
  const ModelConfig& config = builder.config();
  ValueId x = builder.select(hidden, builder.input("first_tokens", "batch"), "classifier.first_tokens");
  x = builder.dropout(x, config.classifier_dropout, "classifier.dropout");
  x = builder.linear(x, "classifier.dense", config.hidden_size, config.hidden_size);
  x = builder.activate(x, "tanh", "classifier.activation");
  x = builder.dropout(x, config.classifier_dropout, "classifier.out_dropout");
  return builder.linear(x, "classifier.out_proj", config.n_labels(), config.hidden_size);
}

ValueId masked_lm(EncoderBuilder& builder, ValueId hidden) {
  const ModelConfig& config = builder.config();
  ValueId x = builder.select(hidden, builder.input("masked_positions", "masked"), "lm_head.masked_positions");
  x = builder.linear(x, "lm_head.dense", config.hidden_size, config.hidden_size);
  x = builder.activate(x, "gelu", "lm_head.activation");
  x = builder.layer_norm(x, "lm_head.layer_norm", config.hidden_size);
  return builder.tied_decoder(x, kEmbeddings + ".word_embeddings", "lm_head.bias", "lm_head.decoder");
}

}  // namespace

Graph build_roberta(const ModelConfig& config, const GraphOptions& options) {
  EncoderBuilder builder(config, options);
  const ValueId hidden = builder.encoder_layers(builder.embeddings(kEmbeddings));
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
