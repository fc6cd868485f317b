// Small encoders and batches for the tests of the runtime.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/philox.h"
#include "graph/autodiff.h"
#include "graph/graph.h"
#include "model/model.h"
#include "tensor/ragged.h"

// Sanitizers have an allocator of their own.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FETTLE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FETTLE_SANITIZED 1
#endif
#endif

namespace fettle::test {

inline constexpr Architecture kArchitectures[] = {Architecture::kBert, Architecture::kDistilBert, Architecture::kAlbert,
                                                  Architecture::kRoberta, Architecture::kXlmRoberta};

// With the token types, padding and shared layers that models of it have.
inline void set_architecture(ModelConfig& config, Architecture architecture) {
  config.architecture = architecture;
  const bool is_roberta = architecture == Architecture::kRoberta || architecture == Architecture::kXlmRoberta;
  config.n_token_types = architecture == Architecture::kDistilBert ? 0 : is_roberta ? 1 : 2;
  config.pad_token_id = is_roberta ? 1 : 0;
  if (architecture != Architecture::kAlbert) return;
  config.embedding_size = 24;
  for (LayerConfig& layer : config.layers) layer = config.layers.front();
}

inline ModelConfig small_config(Architecture architecture, int64_t n_labels) {
  ModelConfig config;
  config.vocab_size = 97;
  config.hidden_size = 48;
  config.max_positions = 40;
  config.layers = {{.n_heads = 3, .head_dim = 16, .intermediate_size = 80},
                   {.n_heads = 2, .head_dim = 16, .intermediate_size = 52}};  // as if pruned
  set_architecture(config, architecture);
  config.n_token_types = std::min<int64_t>(2, 2 * config.n_token_types);
  for (int64_t i = 0; i < n_labels; ++i) config.labels.push_back("label " + std::to_string(i));
  return config;
}

// Larger deviations than a trained model starts with, and biases and norms that are not trivial.
inline Model random_model(const ModelConfig& config, uint64_t seed) {
  Model model = make_model(config, nullptr, seed);
  Philox random(seed, 77);
  for (const std::string& name : model.parameters.names()) {
    Tensor& data = model.parameters.get_mutable(name).data;
    float* values = data.mutable_data<float>();
    const bool is_vector = data.rank() == 1;
    for (int64_t i = 0; i < data.size(); ++i)
      values[i] = is_vector ? values[i] + 0.1f * random.normal() : 8 * values[i];
  }
  return model;
}

inline RaggedBatch random_batch(const std::vector<int64_t>& lengths, int64_t vocab_size, uint64_t seed) {
  Philox random(seed, 5);
  RaggedBatch batch;
  for (const int64_t length : lengths) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < length; ++i)
      ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(vocab_size))));
    batch.append(ids.data(), length);
  }
  for (size_t i = 0; i < batch.type_ids.size(); i += 3) batch.type_ids[i] = 1;
  return batch;
}

using Tensors = std::map<std::string, Tensor>;

inline Tensor ids_tensor(const std::vector<int32_t>& ids) {
  return Tensor::from_i32(ids, {static_cast<int64_t>(ids.size())});
}

inline Tensors batch_inputs(const RaggedBatch& batch, int64_t n_labels) {
  std::vector<int32_t> labels;
  for (int64_t s = 0; s < batch.n_sequences(); ++s) labels.push_back(s == 1 ? -1 : static_cast<int32_t>(s % n_labels));
  const std::vector<int32_t> first(batch.offsets.begin(), batch.offsets.end() - 1);
  std::vector<int32_t> masked;
  std::vector<int32_t> masked_labels;
  for (int32_t i = 0; i < batch.n_tokens(); i += 4) {
    masked.push_back(i);
    masked_labels.push_back(batch.token_ids[static_cast<size_t>(i)]);
  }
  return {{"token_ids", ids_tensor(batch.token_ids)}, {"position_ids", ids_tensor(batch.position_ids)},
          {"type_ids", ids_tensor(batch.type_ids)},   {"offsets", ids_tensor(batch.offsets)},
          {"first_tokens", ids_tensor(first)},        {"labels", ids_tensor(labels)},
          {"masked_positions", ids_tensor(masked)},   {"masked_labels", ids_tensor(masked_labels)}};
}

inline Tensors dense_parameters(const Model& model) {
  Tensors tensors;
  for (const std::string& name : model.parameters.names()) tensors[name] = model.parameters.get(name).decode();
  return tensors;
}

// Cross entropy of the head's logits with "labels" or "masked_labels"; of the hidden states, the distance from
// "target".
inline ValueId add_loss(Graph& graph, GraphOptions::Head head) {
  if (head == GraphOptions::Head::kHidden) {
    const ValueId hidden = graph.outputs().front().second;
    return graph.node("mean_squared_error", {hidden, graph.add_input("target", graph.type(hidden))});
  }
  const bool is_classifier = head == GraphOptions::Head::kClassifier;
  const ValueId labels = graph.add_input(is_classifier ? "labels" : "masked_labels",
                                         {DType::kI32, {graph.symbol(is_classifier ? "batch" : "masked")}});
  return graph.add_nodes("softmax_cross_entropy", {graph.find("logits"), labels}, {{"label_smoothing", 0.1}})[0];
}

// The model's training graph with its loss and the gradients of all parameters as outputs "loss" and "grad NAME".
inline Graph training_graph(const ModelConfig& config, GraphOptions::Head head) {
  Graph graph = build_graph(config, {.head = head, .training = true});
  const ValueId loss = add_loss(graph, head);
  const std::vector<ValueId> parameters = graph.parameters();
  const std::vector<ValueId> gradients = differentiate(graph, loss, parameters);
  graph.add_output("loss", loss);
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (gradients[i] != kNoValue) graph.add_output("grad " + graph.value(parameters[i]).name, gradients[i]);
  }
  return graph;
}

}  // namespace fettle::test
