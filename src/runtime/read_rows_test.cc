// read_first_tokens_early in the executor: int8 models give the same bits with it and without it, alone or in any
// batch.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "graph/op.h"
#include "graph/passes.h"
#include "kernels/dispatch.h"
#include "runtime/executor.h"
#include "runtime/test_graphs.h"

namespace fettle {
namespace {

using test::Tensors;

Graph passed(const ModelConfig& config, bool read_early) {
  Graph graph = build_graph(config, {});
  for (const Pass& pass : inference_passes()) {
    if (read_early || pass.name != "read_first_tokens_early") pass.run(graph);
  }
  return graph;
}

int64_t count(const Graph& graph, std::string_view op) {
  int64_t n = 0;
  for (const Node& node : graph.nodes()) n += node.op->name() == op ? 1 : 0;
  return n;
}

Model quantized(Model model) {
  for (const std::string& name : model.parameters.names()) {
    const EncodedTensor& value = model.parameters.get(name);
    if (value.shape.size() == 2) model.parameters.set(name, encode(value.decode(), Encoding::int8_channel()));
  }
  return model;
}

// Logits of one executor for any batch.
class Runner {
 public:
  Runner(const Model& model, const KernelTable* table, bool read_early, int n_threads)
      : pool_(n_threads),
        executor_(passed(model.config, read_early),
                  [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); },
                  {.pool = &pool_, .table = table}) {}

  std::vector<float> logits(const RaggedBatch& batch) {
    const Tensors inputs = test::batch_inputs(batch, 5);
    for (const auto& [name, tensor] : inputs) executor_.set_input(name, tensor);
    executor_.run();
    const Tensor out = executor_.output("logits");
    return {out.floats().begin(), out.floats().end()};
  }

 private:
  ThreadPool pool_;
  Executor executor_;
};

RaggedBatch sequence_of(const RaggedBatch& all, int64_t s) {
  const auto begin = static_cast<size_t>(all.offsets[static_cast<size_t>(s)]);
  const auto end = static_cast<size_t>(all.offsets[static_cast<size_t>(s) + 1]);
  RaggedBatch one;
  one.append(all.token_ids.data() + begin, static_cast<int64_t>(end - begin));
  std::copy(all.type_ids.begin() + static_cast<long>(begin), all.type_ids.begin() + static_cast<long>(end),
            one.type_ids.begin());
  return one;
}

const std::vector<int64_t> kLengths = {7, 1, 40, 3, 12, 33, 16, 17};

class ReadRows : public testing::TestWithParam<Architecture> {};

TEST_P(ReadRows, Int8HasTheSameBitsWithItAndWithoutItAndAlone) {
  const Model model = quantized(test::random_model(test::small_config(GetParam(), 5), 1));
  EXPECT_EQ(count(passed(model.config, true), "attention_rows"), 1);
  const RaggedBatch batch = test::random_batch(kLengths, 97, 2);
  for (const KernelTable* table : supported_tables()) {
    SCOPED_TRACE(std::string(table->name));
    const std::vector<float> late = Runner(model, table, false, 1).logits(batch);
    Runner early(model, table, true, 2);
    const std::vector<float> expected = early.logits(batch);
    EXPECT_EQ(expected, late);
    for (int64_t s = 0; s < batch.n_sequences(); ++s) {
      const std::vector<float> alone(expected.begin() + 5 * s, expected.begin() + 5 * (s + 1));
      EXPECT_EQ(early.logits(sequence_of(batch, s)), alone) << s;
    }
  }
}

TEST_P(ReadRows, F32IsTheSameToTolerance) {
  const Model model = test::random_model(test::small_config(GetParam(), 5), 1);
  const RaggedBatch batch = test::random_batch(kLengths, 97, 2);
  for (const KernelTable* table : supported_tables()) {
    SCOPED_TRACE(std::string(table->name));
    const std::vector<float> expected = Runner(model, table, false, 1).logits(batch);
    const std::vector<float> actual = Runner(model, table, true, 1).logits(batch);
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(actual[i], expected[i], 1e-5 * (1 + std::fabs(expected[i])));
    EXPECT_EQ(Runner(model, table, true, 3).logits(batch), actual);
  }
}

// Sequences so long that single heads are dealt to threads.
TEST(ReadRowsOfOneSequence, ThreadsDoNotChangeABit) {
  ModelConfig config = make_encoder_config(1, 256, 97);
  config.labels = {"a", "b", "c", "d", "e"};
  const Model model = test::random_model(config, 1);
  const RaggedBatch batch = test::random_batch({500}, 97, 2);
  Runner one(model, nullptr, true, 1);
  Runner three(model, nullptr, true, 3);
  EXPECT_EQ(one.logits(batch), three.logits(batch));
}

INSTANTIATE_TEST_SUITE_P(All, ReadRows, testing::Values(Architecture::kBert, Architecture::kDistilBert));

}  // namespace
}  // namespace fettle
