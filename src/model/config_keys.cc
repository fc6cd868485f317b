#include "model/config_keys.h"

#include "model/pruned_heads.h"

namespace fettle {
namespace {

constexpr ArchitectureKeys bert_like(Architecture architecture, std::string_view model_type,
                                     std::string_view class_prefix, std::string_view parameter_prefix) {
  return {.architecture = architecture,
          .model_type = model_type,
          .class_prefix = class_prefix,
          .parameter_prefix = parameter_prefix,
          .hidden_size = "hidden_size",
          .n_layers = "num_hidden_layers",
          .n_heads = "num_attention_heads",
          .intermediate_size = "intermediate_size",
          .activation = "hidden_act",
          .hidden_dropout = "hidden_dropout_prob",
          .attention_dropout = "attention_probs_dropout_prob",
          .classifier_dropout = "classifier_dropout",
          .hidden_head = "bert.pooler.dense",
          .label_layer = "classifier",
          .lm_head_bias = "cls.predictions.bias"};
}

constexpr ArchitectureKeys roberta_like(Architecture architecture, std::string_view model_type,
                                        std::string_view class_prefix) {
  ArchitectureKeys keys = bert_like(architecture, model_type, class_prefix, "roberta.");
  keys.hidden_head = "classifier.dense";
  keys.label_layer = "classifier.out_proj";
  keys.lm_head_bias = "lm_head.bias";
  keys.positions_follow_padding = true;
  keys.pad_token_id = 1;
  return keys;
}

constexpr ArchitectureKeys albert() {
  ArchitectureKeys keys = bert_like(Architecture::kAlbert, "albert", "Albert", "albert.");
  keys.classifier_dropout = "classifier_dropout_prob";
  keys.hidden_head = "albert.pooler";
  keys.lm_head_bias = "predictions.bias";
  keys.shares_layers = true;
  return keys;
}

constexpr ArchitectureKeys kKeys[] = {
    bert_like(Architecture::kBert, "bert", "Bert", "bert."),
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
     .classifier_dropout = "seq_classif_dropout",
     .hidden_head = "pre_classifier",
     .label_layer = "classifier",
     .lm_head_bias = "vocab_projector.bias",
     .has_token_types = false},
    roberta_like(Architecture::kRoberta, "roberta", "Roberta"),
    roberta_like(Architecture::kXlmRoberta, "xlm-roberta", "XLMRoberta"),
    albert(),
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
                                        kLayersKey,
                                        kPrunedHeadsKey,
                                        kRanksKey,
                                        kStackedKey,
                                        kSourcesKey};
  if (has_token_types) keys.push_back("type_vocab_size");
  if (shares_layers) keys.insert(keys.end(), {kEmbeddingSizeKey, kGroupsKey, kBlocksKey});
  return keys;
}

std::span<const ArchitectureKeys> all_architecture_keys() {
  return kKeys;
}

const ArchitectureKeys& architecture_keys(Architecture architecture) {
  return kKeys[static_cast<size_t>(architecture)];
}

}  // namespace fettle
