// Models too large to test with weights, by shape: every parameter is counted, and each layer's patterns are fused.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/json.h"
#include "graph/op.h"
#include "graph/passes.h"
#include "model/model.h"

namespace fettle {
namespace {

// xlm-roberta-large and albert-xxlarge-v2 on the hub, shortened.
constexpr std::string_view kXlmRobertaLarge = R"({
  "architectures": ["XLMRobertaForMaskedLM"], "hidden_act": "gelu", "hidden_size": 1024, "intermediate_size": 4096,
  "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "model_type": "xlm-roberta", "num_attention_heads": 16,
  "num_hidden_layers": 24, "pad_token_id": 1, "type_vocab_size": 1, "vocab_size": 250002
})";
constexpr std::string_view kAlbertXxLarge = R"({
  "architectures": ["AlbertForMaskedLM"], "embedding_size": 128, "hidden_act": "gelu_new", "hidden_size": 4096,
  "inner_group_num": 1, "intermediate_size": 16384, "max_position_embeddings": 512, "model_type": "albert",
  "num_attention_heads": 64, "num_hidden_groups": 1, "num_hidden_layers": 12, "type_vocab_size": 2, "vocab_size": 30000
})";

int64_t n_parameters(const ModelConfig& config, GraphOptions::Head head) {
  int64_t n = 0;
  for (const auto& [name, shape] : parameter_shapes(config, {.head = head})) n += element_count(shape);
  return n;
}

int64_t n_nodes(const Graph& graph, std::string_view op) {
  return std::ranges::count_if(graph.nodes(), [&](const Node& node) { return node.op->name() == op; });
}

// All passes, in their order; every layer must come out as in a small model.
void expect_fused(const ModelConfig& config) {
  Graph graph = build_graph(config, {});
  verify(graph);
  for (const Pass& pass : inference_passes()) pass.run(graph);
  verify(graph);
  const int64_t n_layers = std::ssize(config.layers);
  EXPECT_EQ(n_nodes(graph, "embed_layer_norm"), 1);
  EXPECT_EQ(n_nodes(graph, "linear_qkv"), n_layers);
  EXPECT_EQ(n_nodes(graph, "attention_packed") + n_nodes(graph, "attention_rows"), n_layers);
  EXPECT_EQ(n_nodes(graph, "attention_rows"), 1) << "the last layer computes the rows that are read";
  EXPECT_EQ(n_nodes(graph, "add"), 0);
  EXPECT_EQ(n_nodes(graph, "activate"), 0);
}

TEST(LargeShapes, XlmRobertaLarge) {
  ModelConfig config = parse_config(parse_json(kXlmRobertaLarge, "config.json"), "config.json");
  EXPECT_EQ(config.max_positions, 512);
  // 559,890,432 with the pooler, which classifiers of RoBERTa do not have, as published.
  EXPECT_EQ(n_parameters(config, GraphOptions::Head::kHidden), 559'890'432 - (1024 * 1024 + 1024));
  // The language model's head: a square layer with its norm, and a bias a piece.
  EXPECT_EQ(n_parameters(config, GraphOptions::Head::kMaskedLm), 559'890'432 + 2 * 1024 + 250'002);
  config.labels = {"a", "b", "c"};
  EXPECT_EQ(n_parameters(config, GraphOptions::Head::kClassifier), 559'890'432 + 3 * 1024 + 3);
  expect_fused(config);
}

TEST(LargeShapes, AlbertXxLarge) {
  ModelConfig config = parse_config(parse_json(kAlbertXxLarge, "config.json"), "config.json");
  config.labels = {"a", "b", "c"};
  // 222,595,584 as published, pooler included.
  EXPECT_EQ(n_parameters(config, GraphOptions::Head::kClassifier), 222'595'584 + 3 * 4096 + 3);
  expect_fused(config);
}

}  // namespace
}  // namespace fettle
