#include "runtime/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/thread_pool.h"
#include "graph/evaluate.h"
#include "graph/passes.h"
#include "kernels/dispatch.h"
#include "runtime/packed_store.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

using test::Tensors;
using testing::HasSubstr;
using Head = GraphOptions::Head;

const std::vector<int64_t> kLengths = {7, 1, 12, 3, 12, 9};

Tensors outputs_of(Executor& executor, const Graph& graph, const Tensors& inputs, uint64_t seed) {
  for (const auto& [name, tensor] : inputs) executor.set_input(name, tensor);
  executor.set_seed(seed);
  executor.run();
  Tensors outputs;
  for (const auto& [name, id] : graph.outputs()) outputs[name] = executor.output(name).clone();
  return outputs;
}

Tensors run(const Graph& graph, const Model& model, const Tensors& inputs, ExecutorOptions options, uint64_t seed = 3) {
  Executor executor(
      graph, [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); }, options);
  return outputs_of(executor, graph, inputs, seed);
}

// Against the largest value; of what is zero but for rounding (the gradient of a key's bias), against 0.01.
double relative_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double difference = 0;
  double largest = 1e-2;
  for (int64_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, std::fabs(static_cast<double>(a.data<float>()[i]) - b.data<float>()[i]));
    largest = std::max(largest, std::fabs(static_cast<double>(b.data<float>()[i])));
  }
  return difference / largest;
}

void expect_close(const Tensors& actual, const Tensors& expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    EXPECT_LT(relative_difference(actual.at(name), tensor), tolerance) << name;
  }
}

void expect_same_bytes(const Tensors& a, const Tensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : b) {
    EXPECT_EQ(0, std::memcmp(a.at(name).raw(), tensor.raw(), static_cast<size_t>(tensor.size_bytes()))) << name;
  }
}

struct Case {
  Architecture architecture;
  Head head;
};

class EncoderGraphs : public testing::TestWithParam<Case> {
 protected:
  EncoderGraphs()
      : config_(test::small_config(GetParam().architecture, GetParam().head == Head::kClassifier ? 5 : 0)),
        model_(test::random_model(config_, 1)),
        inputs_(test::batch_inputs(test::random_batch(kLengths, config_.vocab_size, 2), 5)) {
    const int64_t n_tokens = std::accumulate(kLengths.begin(), kLengths.end(), int64_t{0});
    inputs_["target"] = Tensor(DType::kF32, {n_tokens, config_.hidden_size});
    Philox random(9);
    for (int64_t i = 0; i < inputs_["target"].size(); ++i) inputs_["target"].mutable_data<float>()[i] = random.normal();
  }

  ModelConfig config_;
  Model model_;
  Tensors inputs_;
};

TEST_P(EncoderGraphs, InferenceAgreesWithTheReferenceOnEveryTable) {
  const Graph graph = build_graph(config_, {.head = GetParam().head});
  const Tensors expected = evaluate_reference(graph, inputs_, test::dense_parameters(model_));
  for (const KernelTable* table : supported_tables()) {
    SCOPED_TRACE(std::string(table->name));
    Tensors first;
    for (const int n_threads : {1, 2}) {
      ThreadPool pool(n_threads);
      const Tensors actual = run(graph, model_, inputs_, {.pool = &pool, .table = table});
      expect_close(actual, expected, 2e-5);
      if (n_threads == 1) first = actual;
      expect_same_bytes(actual, first);
    }
  }
}

TEST_P(EncoderGraphs, PassesChangeNothing) {
  const Graph slow = build_graph(config_, {.head = GetParam().head});
  Graph fast = slow;
  int64_t rewrites = 0;
  for (const Pass& pass : inference_passes()) rewrites += pass.run(fast);
  verify(fast);
  EXPECT_GT(rewrites, 0);
  for (const KernelTable* table : supported_tables()) {
    SCOPED_TRACE(std::string(table->name));
    expect_close(run(fast, model_, inputs_, {.table = table}), run(slow, model_, inputs_, {.table = table}), 1e-5);
    expect_close(run(fast, model_, inputs_, {.table = table, .pack_parameters = false}),
                 run(slow, model_, inputs_, {.table = table, .pack_parameters = false}), 1e-5);
  }
}

TEST_P(EncoderGraphs, GradientsAgreeWithTheReferenceOnEveryTable) {
  const Graph graph = test::training_graph(config_, GetParam().head);
  const Tensors expected = evaluate_reference(graph, inputs_, test::dense_parameters(model_), 3);
  for (const KernelTable* table : supported_tables()) {
    SCOPED_TRACE(std::string(table->name));
    Tensors first;
    for (const int n_threads : {1, 2}) {
      ThreadPool pool(n_threads);
      const Tensors actual = run(graph, model_, inputs_, {.pool = &pool, .table = table, .pack_parameters = false});
      expect_close(actual, expected, 1e-4);
      if (n_threads == 1) first = actual;
      expect_same_bytes(actual, first);
    }
  }
}

class ExecutorErrors : public testing::Test {
 protected:
  ExecutorErrors()
      : model_(test::random_model(test::small_config(Architecture::kBert, 5), 1)),
        graph_(build_graph(model_.config, {})),
        inputs_(test::batch_inputs(test::random_batch(kLengths, 97, 2), 5)) {}

  std::string error(const ExecutorOptions& options = {}) {
    try {
      run(graph_, model_, inputs_, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  Model model_;
  Graph graph_;
  Tensors inputs_;
};

TEST_F(ExecutorErrors, InputsThatDoNotFit) {
  EXPECT_EQ(error(), "no error");
  const Tensors good = inputs_;
  inputs_.erase("type_ids");
  EXPECT_THAT(error(), HasSubstr("type_ids"));
  inputs_ = good;
  inputs_["type_ids"] = Tensor(DType::kI32, {3});
  EXPECT_THAT(error(), testing::AllOf(HasSubstr("type_ids"), HasSubstr("3")));
  inputs_["type_ids"] = Tensor(DType::kF32, good.at("type_ids").shape());
  EXPECT_THAT(error(), HasSubstr("type_ids"));
  inputs_["type_ids"] = good.at("type_ids").reshaped({1, good.at("type_ids").size()});
  EXPECT_THAT(error(), HasSubstr("type_ids"));
  inputs_ = good;
  inputs_["offsets"] = Tensor::from_i32({0, 7, 5, 20, 23, 35, 44}, {7});
  EXPECT_THAT(error(), HasSubstr("fall at sequence 1"));
  inputs_["offsets"] = Tensor::from_i32({0, 7, 8, 20, 23, 35, 43}, {7});
  EXPECT_THAT(error(), HasSubstr("44 tokens"));
  inputs_["offsets"] = Tensor(DType::kI32, {0});
  EXPECT_THAT(error(), HasSubstr("offsets"));
}

TEST_F(ExecutorErrors, ParametersThatDoNotFit) {
  const std::string name = "bert.encoder.layer.1.output.dense.weight";
  model_.parameters.set(name, EncodedTensor::dense(Tensor(DType::kF32, {48, 53})));
  EXPECT_THAT(error(), testing::AllOf(HasSubstr(name), HasSubstr("[48, 53]"), HasSubstr("[48, 52]")));
  model_.parameters.set(name, encode(Tensor(DType::kF32, {48, 52}), Encoding::int8_channel()));
  EXPECT_EQ(error(), "no error");
  EXPECT_THAT(error({.pack_parameters = false}), testing::AllOf(HasSubstr(name), HasSubstr("int8")));
  model_.parameters.erase(name);
  EXPECT_THAT(error(), HasSubstr(name));
}

TEST_F(ExecutorErrors, UnknownNames) {
  Executor executor(graph_, [&](std::string_view name) -> const EncodedTensor& { return model_.parameters.get(name); },
                    {});
  executor.set_input("no such input", Tensor(DType::kF32, {1}));
  for (const auto& [name, tensor] : inputs_) executor.set_input(name, tensor);
  executor.run();
  EXPECT_THROW(executor.output("no such output"), Error);
  EXPECT_EQ(executor.output("logits").shape(), (Shape{6, 5}));
}

TEST(Executor, ReadsTrainedParametersAtEveryRun) {
  Model model = test::random_model(test::small_config(Architecture::kBert, 5), 1);
  const Graph graph = build_graph(model.config, {});
  const Tensors inputs = test::batch_inputs(test::random_batch(kLengths, 97, 2), 5);
  Executor executor(graph, [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
                    {.pack_parameters = false});
  const Tensor before = outputs_of(executor, graph, inputs, 0).at("logits");
  Tensor& bias = model.parameters.get_mutable("classifier.bias").data;
  bias.mutable_data<float>()[2] += 3;
  const Tensor after = outputs_of(executor, graph, inputs, 0).at("logits");
  for (int64_t i = 0; i < after.size(); ++i) {
    EXPECT_NEAR(after.floats()[static_cast<size_t>(i)] - before.floats()[static_cast<size_t>(i)], i % 5 == 2 ? 3 : 0,
                1e-5);
  }
}

TEST(Executor, SeedsPickTheDropout) {
  const Model model = test::random_model(test::small_config(Architecture::kBert, 5), 1);
  const Graph graph = build_graph(model.config, {.training = true});
  const Tensors inputs = test::batch_inputs(test::random_batch(kLengths, 97, 2), 5);
  const ExecutorOptions options{.pack_parameters = false};
  const Tensors first = run(graph, model, inputs, options, 7);
  expect_same_bytes(run(graph, model, inputs, options, 7), first);
  EXPECT_GT(relative_difference(run(graph, model, inputs, options, 8).at("logits"), first.at("logits")), 1e-3);
}

TEST(Executor, ValuesShareTheArena) {
  const Model model = test::random_model(test::small_config(Architecture::kBert, 5), 1);
  const Graph graph = build_graph(model.config, {});
  const Tensors inputs = test::batch_inputs(test::random_batch(kLengths, 97, 2), 5);
  Executor executor(graph, [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
                    {});
  outputs_of(executor, graph, inputs, 0);
  // Tokens are rounded up from 44 to 48; q, k, v and the residual, or the inner layer and its neighbours, live at once.
  EXPECT_LE(executor.arena_bytes(), 48 * (5 * 48 + 80) * int64_t{sizeof(float)});
  EXPECT_GT(executor.packed_bytes(), 0);
}

TEST(Executor, SharedLayersArePackedOnce) {
  ModelConfig config = test::small_config(Architecture::kAlbert, 5);
  const auto packed_bytes = [&](size_t n_layers) {
    config.layers.resize(n_layers, config.layers.front());
    const Model model = test::random_model(config, 1);
    PackedStore store;
    const Executor executor(build_graph(config, {}),
                            [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
                            {.packed = &store});
    return executor.packed_bytes();
  };
  EXPECT_EQ(packed_bytes(6), packed_bytes(2));
}

INSTANTIATE_TEST_SUITE_P(
    All, EncoderGraphs,
    testing::Values(Case{Architecture::kBert, Head::kClassifier}, Case{Architecture::kBert, Head::kMaskedLm},
                    Case{Architecture::kBert, Head::kHidden}, Case{Architecture::kDistilBert, Head::kClassifier},
                    Case{Architecture::kDistilBert, Head::kMaskedLm}, Case{Architecture::kAlbert, Head::kClassifier},
                    Case{Architecture::kAlbert, Head::kMaskedLm}, Case{Architecture::kRoberta, Head::kClassifier},
                    Case{Architecture::kRoberta, Head::kMaskedLm}));

}  // namespace
}  // namespace fettle
