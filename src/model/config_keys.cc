#include "model/config_keys.h"

namespace fettle {
namespace {

constexpr ArchitectureKeys kKeys[] = {
    {.architecture = Architecture::kBert,
     .model_type = "bert",
     .class_prefix = "Bert",
     .parameter_prefix = "bert.",
     .hidden_size = "hidden_size",
     .n_layers = "num_hidden_layers",
     .n_heads = "num_attention_heads",
     .intermediate_size = "intermediate_size",
     .activation = "hidden_act",
     .hidden_dropout = "hidden_dropout_prob",
     .attention_dropout = "attention_probs_dropout_prob",
     .classifier_dropout = "classifier_dropout"},
    {.architecture = Architecture::kDistilBert,
     .model_type = "distilbert",
     .class_prefix = "DistilBert",
     .parameter_prefix = "distilbert.",
     .hidden_size = "dim",
     .n_layers = "n_layers",
     .n_heads = "n_heads",
     .intermediate_size = "hidden_dim",
     .activation = "activation",
     .hidden_dropout = "dropout",
     .attention_dropout = "attention_dropout",
     .classifier_dropout = "seq_classif_dropout"},
};

}  // namespace

std::vector<std::string_view> ArchitectureKeys::known() const {
  std::vector<std::string_view> keys = {"model_type",
                                        "vocab_size",
                                        hidden_size,
                                        n_layers,
                                        n_heads,
                                        intermediate_size,
                                        activation,
                                        hidden_dropout,
                                        attention_dropout,
                                        classifier_dropout,
                                        "max_position_embeddings",
                                        "layer_norm_eps",
                                        "initializer_range",
                                        "pad_token_id",
                                        kLayersKey};
  if (architecture == Architecture::kBert) keys.push_back("type_vocab_size");
  return keys;
}

std::span<const ArchitectureKeys> all_architecture_keys() {
  return kKeys;
}

const ArchitectureKeys& architecture_keys(Architecture architecture) {
  return kKeys[static_cast<size_t>(architecture)];
}

}  // namespace fettle
