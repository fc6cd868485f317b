// For tests: small random encoders of every family, with heads, neurons and layers enough to lose some.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/philox.h"
#include "compress/prune/gates.h"
#include "kernels/dispatch.h"
#include "model/model.h"
#include "runtime/executor.h"
#include "train/objective.h"
#include "train/test_models.h"

namespace fettle::test {

struct EncoderCase {
  std::string name;
  Architecture architecture = Architecture::kBert;
  int64_t n_groups = 1;
  int64_t blocks = 1;
};

inline std::vector<EncoderCase> encoder_cases() {
  return {{"bert", Architecture::kBert},
          {"distilbert", Architecture::kDistilBert},
          {"roberta", Architecture::kRoberta},
          {"xlm-roberta", Architecture::kXlmRoberta},
          {"albert", Architecture::kAlbert, 1, 1},
          {"albert of two groups", Architecture::kAlbert, 2, 1},
          {"albert of two blocks", Architecture::kAlbert, 1, 2}};
}

// Weights wide enough that every part matters, biases and norms that are not those of a new model.
inline Model random_encoder(const EncoderCase& of, uint64_t seed = 3) {
  auto tokenizer = word_tokenizer(toy_words());
  ModelConfig config = make_encoder_config(4, 64, tokenizer->vocab_size());
  config.architecture = of.architecture;
  for (LayerConfig& layer : config.layers) layer = {.n_heads = 4, .head_dim = 16, .intermediate_size = 96};
  config.max_positions = 32;
  if (of.architecture == Architecture::kDistilBert) config.n_token_types = 0;
  if (config.shares_layers()) {
    config.embedding_size = 24;
    config.n_layer_groups = of.n_groups;
    config.blocks_per_group = of.blocks;
  }
  config.initializer_range = 0.15;
  config.labels = {"red", "green", "blue", "one"};
  Model model = make_model(config, std::move(tokenizer), seed);
  Philox random(seed);
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    if (value.shape.size() != 1) continue;
    Tensor values = value.data.clone();
    for (int64_t i = 0; i < values.size(); ++i) values.mutable_data<float>()[i] += 0.2f * random.normal();
    model.parameters.set(name, EncodedTensor::dense(std::move(values)));
  }
  return model;
}

inline RaggedBatch random_batch(const ModelConfig& config) {
  Philox random(11);
  RaggedBatch batch;
  for (const int length : {5, 1, 9}) {
    std::vector<int32_t> ids;
    for (int i = 0; i < length; ++i) {
      ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(config.vocab_size))));
    }
    batch.append(ids.data(), length);
  }
  return batch;
}

// Values of the gates by layer: what `gate` says of each part.
using GateValues = std::function<float(const GateInput& gate, int64_t part)>;

// Logits of the whole model with the gates of one kind set.
inline Tensor gated_logits(const Model& model, PartKind kind, const RaggedBatch& tokens, const GateValues& value) {
  Graph graph = build_graph(model.config, {.head = GraphOptions::Head::kClassifier});
  const std::vector<GateInput> gates = add_gates(graph, model.config, kind);
  verify(graph);
  ThreadPool pool(1);
  Executor executor(
      graph, [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
      ExecutorOptions{.pool = &pool, .table = supported_tables().front(), .reference = true, .pack_parameters = false});
  MicroBatch batch;
  bind_tokens(tokens, model.config, batch);
  for (const auto& [name, tensor] : batch.inputs) {
    if (graph.find(name) != kNoValue) executor.set_input(name, tensor);
  }
  const int64_t n = tokens.n_sequences();
  std::vector<Tensor> values;
  for (const GateInput& gate : gates) {
    values.emplace_back(DType::kF32, Shape{n, gate.n});
    for (int64_t i = 0; i < n * gate.n; ++i) values.back().mutable_data<float>()[i] = value(gate, i % gate.n);
    executor.set_input(gate.name, values.back());
  }
  executor.run();
  return executor.output("logits").clone();
}

inline double largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double largest = 0;
  for (int64_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(a.data<float>()[i]) - b.data<float>()[i]));
  }
  return largest;
}

}  // namespace fettle::test
