// Models with factors and shared layers: the fast path gives what the slow path gives, and both what the whole matrices
// would; on every instruction set.
#include "model/factors.h"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/evaluate.h"
#include "graph/op.h"
#include "graph/passes.h"
#include "kernels/dispatch.h"
#include "model/layer_names.h"
#include "runtime/session.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

ModelConfig plain_config(Architecture architecture) {
  ModelConfig config = test::small_config(architecture, 5);
  config.layers.assign(3, {.n_heads = 3, .head_dim = 16, .intermediate_size = 80});
  return config;
}

// Factors of every kind; the last layer's projections stay whole.
ModelConfig factored_config(Architecture architecture) {
  ModelConfig config = plain_config(architecture);
  const EncoderLayerNames first = encoder_layer_names(config, 0);
  const EncoderLayerNames second = encoder_layer_names(config, 1);
  const std::string prefix = first.query.substr(0, first.query.find('.'));
  config.ranks = {{first.intermediate, 12}, {first.query, 7}, {prefix + ".embeddings.word_embeddings", 10}};
  if (architecture == Architecture::kAlbert) return config;
  config.ranks[second.output] = 20;
  for (const std::string& name : {first.attention_output, second.attention_output}) {
    config.stacked[name] = {.owner = first.attention_output, .in_rank = 9, .out_rank = 6};
  }
  return config;
}

std::vector<float> logits(const Model& model, const SessionOptions& options) {
  Session session(std::make_shared<const Model>(model), options);
  const Tensor result = session.classify(test::random_batch({5, 1, 17, 36}, 97, 3));
  return {result.floats().begin(), result.floats().end()};
}

void expect_near(const std::vector<float>& actual, const std::vector<float>& expected, double share) {
  ASSERT_EQ(actual.size(), expected.size());
  float largest = 0;
  for (const float value : expected) largest = std::max(largest, std::fabs(value));
  for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], share * largest) << i;
}

Model encoded(const Model& model, const Encoding& encoding) {
  Model result = model;
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    const bool is_layer = name.find("layer.") != std::string::npos || name.find("layers.") != std::string::npos;
    if (value.shape.size() == 2 && is_layer) result.parameters.set(name, encode(value.decode(), encoding));
  }
  return result;
}

class FactoredModels : public testing::TestWithParam<const KernelTable*> {};

TEST_P(FactoredModels, FastPathIsTheSlowPathIsTheWhole) {
  const SessionOptions fast{.n_threads = 1, .isa = std::string(GetParam()->name)};
  SessionOptions slow = fast;
  slow.fast_path = false;
  for (const Architecture architecture : test::kArchitectures) {
    SCOPED_TRACE(static_cast<int>(architecture));
    const Model model = test::random_model(factored_config(architecture), 1);
    Model whole = model;
    merge_factors(whole);
    const std::vector<float> expected = logits(whole, slow);
    expect_near(logits(model, slow), expected, 1e-4);
    expect_near(logits(model, fast), expected, 1e-4);
    for (const Encoding& encoding : {Encoding::int8_channel(), Encoding::int4_group(8, 16)}) {
      const Model small = encoded(model, encoding);
      expect_near(logits(small, fast), logits(small, slow), 0.05);
    }
  }
}

TEST_P(FactoredModels, SharedLayersAreThatLayerAgain) {
  const SessionOptions fast{.n_threads = 1, .isa = std::string(GetParam()->name)};
  SessionOptions slow = fast;
  slow.fast_path = false;
  for (const Architecture architecture : test::kArchitectures) {
    if (architecture == Architecture::kAlbert) continue;
    ModelConfig config = plain_config(architecture);
    config.layer_sources = {0, 0, 2};
    const Model model = test::random_model(config, 1);
    Model copied = model;
    unshare_layers(copied);
    expect_near(logits(model, fast), logits(copied, slow), 1e-4);
    EXPECT_EQ(logits(model, fast), logits(copied, fast));
    const Model small = encoded(model, Encoding::int8_channel());
    const Model small_copy = encoded(copied, Encoding::int8_channel());
    EXPECT_EQ(logits(small, fast), logits(small_copy, fast));
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, FactoredModels,
                         testing::ValuesIn(supported_tables().begin(), supported_tables().end()),
                         [](const auto& table) { return std::string(table.param->name); });

int64_t n_nodes(const Graph& graph, std::string_view op) {
  return std::ranges::count_if(graph.nodes(), [&](const Node& node) { return node.op->name() == op; });
}

TEST(FactoredGraphs, FuseWhereTheyCan) {
  const auto optimized = [](const ModelConfig& config) {
    Graph graph = build_graph(config, {});
    for (const Pass& pass : inference_passes()) pass.run(graph);
    verify(graph);
    return graph;
  };
  ModelConfig shared = plain_config(Architecture::kBert);
  shared.layer_sources = {0, 0, 0};
  Graph graph = optimized(shared);
  EXPECT_EQ(n_nodes(graph, "linear_qkv"), 3);
  EXPECT_EQ(n_nodes(graph, "embed_layer_norm"), 1);
  EXPECT_EQ(n_nodes(graph, "attention_rows"), 1);

  // The first layer's query has factors, and so has the word table.
  graph = optimized(factored_config(Architecture::kBert));
  EXPECT_EQ(n_nodes(graph, "linear_qkv"), 2);
  EXPECT_EQ(n_nodes(graph, "embed_layer_norm"), 0);
  EXPECT_EQ(n_nodes(graph, "attention_rows"), 1);
  EXPECT_EQ(n_nodes(graph, "activate"), 0);
}

// Gradients of what layers share are the sum of the layers' own.
TEST(SharedGradients, AddUp) {
  ModelConfig config = plain_config(Architecture::kBert);
  config.hidden_dropout = config.attention_dropout = config.classifier_dropout = 0;
  config.layer_sources = {0, 0, 0};
  const Model model = test::random_model(config, 1);
  Model copied = model;
  unshare_layers(copied);
  const RaggedBatch batch = test::random_batch({5, 3, 9}, 97, 3);
  const auto gradients = [&](const Model& of) {
    return evaluate_reference(test::training_graph(of.config, GraphOptions::Head::kClassifier),
                              test::batch_inputs(batch, 5), test::dense_parameters(of));
  };
  const auto shared = gradients(model);
  const auto separate = gradients(copied);
  for (const char* part : {"attention.self.query.weight", "output.dense.bias", "output.LayerNorm.weight"}) {
    const auto of_layer = [&](int layer) {
      return separate.at("grad bert.encoder.layer." + std::to_string(layer) + "." + part);
    };
    const Tensor sum = shared.at(std::string("grad bert.encoder.layer.0.") + part);
    for (int64_t i = 0; i < sum.size(); ++i) {
      const float expected = of_layer(0).floats()[i] + of_layer(1).floats()[i] + of_layer(2).floats()[i];
      ASSERT_NEAR(sum.floats()[i], expected, 1e-4 * (1 + std::fabs(expected))) << part;
    }
  }
}

}  // namespace
}  // namespace fettle
