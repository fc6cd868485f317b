#include "train/layer_rates.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "model/model.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

ModelConfig config_of(Architecture architecture) {
  ModelConfig config = make_encoder_config(12, 64, 100);
  test::set_architecture(config, architecture);
  config.labels = {"a", "b"};
  return config;
}

TEST(LayerRates, OfEachFamily) {
  struct Case {
    Architecture architecture;
    std::string name;
    int power;
  };
  const std::vector<Case> cases = {
      {Architecture::kBert, "bert.embeddings.word_embeddings.weight", 13},
      {Architecture::kBert, "bert.embeddings.LayerNorm.bias", 13},
      {Architecture::kBert, "bert.encoder.layer.0.attention.self.query.weight", 12},
      {Architecture::kBert, "bert.encoder.layer.1.output.LayerNorm.weight", 11},
      {Architecture::kBert, "bert.encoder.layer.10.output.dense.weight", 2},
      {Architecture::kBert, "bert.encoder.layer.11.output.dense.weight", 1},
      {Architecture::kBert, "bert.pooler.dense.weight", 0},
      {Architecture::kBert, "classifier.weight", 0},
      {Architecture::kDistilBert, "distilbert.embeddings.position_embeddings.weight", 13},
      {Architecture::kDistilBert, "distilbert.transformer.layer.3.ffn.lin1.bias", 9},
      {Architecture::kDistilBert, "pre_classifier.weight", 0},
      {Architecture::kRoberta, "roberta.embeddings.word_embeddings.weight", 13},
      {Architecture::kRoberta, "roberta.encoder.layer.2.attention.self.key.bias", 10},
      {Architecture::kXlmRoberta, "roberta.encoder.layer.2.attention.self.key.bias", 10},
      {Architecture::kRoberta, "classifier.out_proj.weight", 0},
      {Architecture::kAlbert, "albert.embeddings.word_embeddings.weight", 2},
      {Architecture::kAlbert, "albert.encoder.embedding_hidden_mapping_in.weight", 2},
      {Architecture::kAlbert, "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight", 1},
      {Architecture::kAlbert, "albert.pooler.weight", 0},
  };
  for (const Case& c : cases) {
    EXPECT_DOUBLE_EQ(layer_rate_factor(config_of(c.architecture), c.name, 0.9), std::pow(0.9, c.power)) << c.name;
  }
}

// Every parameter of a model has a place: as many factors as layers, one of the embeddings, one of the head.
TEST(LayerRates, OfWholeModels) {
  for (const Architecture architecture : test::kArchitectures) {
    const ModelConfig config = config_of(architecture);
    std::map<double, int> factors;
    for (const auto& [name, shape] : parameter_shapes(config, {})) ++factors[layer_rate_factor(config, name, 0.5)];
    EXPECT_EQ(factors.size(), config.shares_layers() ? 3u : 14u);
    for (const auto& [factor, n] : factors) {
      const bool is_layer = factor < 1 && factor != factors.begin()->first;
      if (!is_layer) continue;
      EXPECT_EQ(n, 16) << factor;
    }
  }
}

}  // namespace
}  // namespace fettle
