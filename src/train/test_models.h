// Small models and data sets for the tests of training.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/philox.h"
#include "data/dataset.h"
#include "model/model.h"
#include "train/trainer.h"

namespace fettle::test {

inline std::shared_ptr<const Tokenizer> word_tokenizer(const std::vector<std::string>& words) {
  std::vector<std::string> pieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  pieces.insert(pieces.end(), words.begin(), words.end());
  return Tokenizer::from_vocab(std::move(pieces));
}

inline std::vector<std::string> toy_words() {
  std::vector<std::string> words;
  for (const char* word :
       {"red", "green", "blue", "one", "two", "three", "the", "a", "big", "small", "house", "tree"}) {
    words.emplace_back(word);
  }
  return words;
}

// Narrower than 64 it learns the toy task from six epochs of some seeds only.
inline Model toy_model(std::vector<std::string> labels, uint64_t seed = 1, int64_t n_layers = 2, int64_t width = 64) {
  auto tokenizer = word_tokenizer(toy_words());
  ModelConfig config = make_encoder_config(n_layers, width, tokenizer->vocab_size());
  for (LayerConfig& layer : config.layers)
    layer = {.n_heads = 2, .head_dim = width / 2, .intermediate_size = 2 * width};
  config.max_positions = 32;
  config.labels = std::move(labels);
  return make_model(config, std::move(tokenizer), seed);
}

// The label is the colour or number among filler words.
inline Dataset toy_data(int64_t n, uint64_t seed) {
  Dataset data;
  data.labels = {"red", "green", "blue", "one"};
  const std::vector<std::string> filler = {"the", "a", "big", "small", "house", "tree"};
  Philox random(seed);
  for (int64_t i = 0; i < n; ++i) {
    Example example;
    example.label = static_cast<int32_t>(random.below(4));
    const uint64_t length = 2 + random.below(6);
    const uint64_t place = random.below(length);
    for (uint64_t w = 0; w < length; ++w) {
      if (w > 0) example.text += ' ';
      example.text += w == place ? data.labels[example.label] : filler[random.below(filler.size())];
    }
    data.examples.push_back(std::move(example));
  }
  return data;
}

inline TrainOptions toy_training(double epochs = 6) {
  TrainOptions options;
  options.epochs = epochs;
  options.batch_size = 16;
  options.learning_rate = 3e-3;
  options.max_length = 16;
  options.n_threads = 1;
  options.seed = 5;
  return options;
}

inline std::string weight_bytes(const Model& model) {
  std::string bytes;
  for (const std::string& name : model.parameters.names()) {
    const Tensor values = model.parameters.get(name).decode();
    bytes += name;
    bytes.append(static_cast<const char*>(values.raw()), static_cast<size_t>(values.size_bytes()));
  }
  return bytes;
}

}  // namespace fettle::test
