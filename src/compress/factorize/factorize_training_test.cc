// Training of models that were factorized or share their layers.
#include <gtest/gtest.h>

#include <algorithm>

#include "compress/factorize/factorize.h"
#include "compress/quantize/dynamic.h"
#include "runtime/session.h"
#include "train/test_models.h"

namespace fettle {
namespace {

const std::vector<std::string> kLabels = {"red", "green", "blue", "one"};

Model trained_toy() {
  Model model = test::toy_model(kLabels);
  train_classifier(model, test::toy_data(400, 1), nullptr, test::toy_training());
  return model;
}

double accuracy(const Model& model) {
  const Dataset data = test::toy_data(200, 11);
  std::vector<std::string> texts;
  for (const Example& example : data.examples) texts.push_back(example.text);
  Session session(std::make_shared<Model>(model), {.n_threads = 1});
  const Tensor scores = session.classify_texts(texts);
  double hits = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto row = scores.floats().subspan(i * kLabels.size(), kLabels.size());
    hits += kLabels[static_cast<size_t>(std::ranges::max_element(row) - row.begin())] ==
            data.labels[static_cast<size_t>(data.examples[i].label)];
  }
  return hits / static_cast<double>(texts.size());
}

TEST(FactorizedTraining, LearnsAgain) {
  Model model = trained_toy();
  factorize_linears(model, {.rank = 8, .n_threads = 1});
  const double before = accuracy(model);
  train_classifier(model, test::toy_data(400, 1), nullptr, test::toy_training(3));
  EXPECT_GT(accuracy(model), std::max(0.9, before - 1e-9));
  EXPECT_EQ(model.config.ranks.at("bert.encoder.layer.0.output.dense"), 8);
}

TEST(FactorizedTraining, MaskedWordsThroughATableWithFactors) {
  std::vector<std::string> words = test::toy_words();
  for (int i = 0; i < 48; ++i) words.push_back("w" + std::to_string(i));
  const auto tokenizer = test::word_tokenizer(words);
  ModelConfig config = make_encoder_config(1, 64, tokenizer->vocab_size());
  config.max_positions = 32;
  Model model = make_model(config, tokenizer, 2);
  factorize_word_table(model, {.rank = 12});
  TrainOptions options = test::toy_training();
  options.max_steps = 20;
  std::vector<std::string> texts;
  for (const Example& example : test::toy_data(60, 1).examples) texts.push_back(example.text);
  const TrainResult result = pretrain_masked_lm(model, texts, options);
  EXPECT_LT(result.curve.back().loss, result.curve.front().loss);
  EXPECT_EQ(model.parameters.get("bert.embeddings.word_embeddings.weight").shape, (Shape{65, 12}));
}

TEST(SharedTraining, GradientsOfAllLayersCount) {
  Model model = trained_toy();
  share_layers(model, {});
  train_classifier(model, test::toy_data(400, 1), nullptr, test::toy_training());
  EXPECT_GT(accuracy(model), 0.9);
  quantize_dynamic(model, {.embeddings = true});
  EXPECT_GT(accuracy(model), 0.9);
  // Shared again in another way.
  share_layers(model, {.group = 2, .average = false});
  EXPECT_GT(accuracy(model), 0.9);
}

}  // namespace
}  // namespace fettle
