#include "runtime/executor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/thread_pool.h"
#include "graph/evaluate.h"
#include "graph/passes.h"
#include "kernels/dispatch.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

using test::Tensors;
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
        inputs_(test::batch_inputs(test::random_batch(kLengths, config_.vocab_size, 2), 5)) {}

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
  if (GetParam().head == Head::kHidden) GTEST_SKIP() << "has no loss";
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

INSTANTIATE_TEST_SUITE_P(All, EncoderGraphs,
                         testing::Values(Case{Architecture::kBert, Head::kClassifier},
                                         Case{Architecture::kBert, Head::kMaskedLm},
                                         Case{Architecture::kBert, Head::kHidden},
                                         Case{Architecture::kDistilBert, Head::kClassifier},
                                         Case{Architecture::kDistilBert, Head::kMaskedLm}));

}  // namespace
}  // namespace fettle
