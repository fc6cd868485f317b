// Every op of the registry: the executor's kernel on every instruction set against the op's reference.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "base/thread_pool.h"
#include "graph/ops/op_cases.h"
#include "kernels/dispatch.h"
#include "runtime/executor.h"
#include "runtime/node_kernel.h"

namespace fettle {
namespace {

constexpr uint64_t kSeed = 5;

std::map<std::string, Tensor> run(const Graph& graph, const std::map<std::string, Tensor>& tensors,
                                  const ExecutorOptions& options) {
  std::map<std::string, EncodedTensor> parameters;
  for (const ValueId id : graph.parameters()) {
    const std::string& name = graph.value(id).name;
    parameters.emplace(name, EncodedTensor::dense(tensors.at(name)));
  }
  Executor executor(
      graph, [&](std::string_view name) -> const EncodedTensor& { return parameters.at(std::string(name)); }, options);
  for (const auto& [name, tensor] : tensors) executor.set_input(name, tensor);
  executor.set_seed(kSeed);
  executor.run();
  std::map<std::string, Tensor> outputs;
  for (const auto& [name, id] : graph.outputs()) outputs[name] = executor.output(name).clone();
  return outputs;
}

void expect_close(const Tensor& actual, const Tensor& expected) {
  ASSERT_EQ(actual.shape(), expected.shape());
  if (expected.dtype() == DType::kI32) {
    ASSERT_EQ(std::memcmp(actual.raw(), expected.raw(), static_cast<size_t>(expected.size_bytes())), 0);
    return;
  }
  double largest = 0;
  for (const float value : expected.floats()) largest = std::max(largest, std::fabs(static_cast<double>(value)));
  for (int64_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual.data<float>()[i], expected.data<float>()[i], 2e-5 * largest) << "element " << i;
  }
}

void expect_kernels_agree(const OpCases::Built& built) {
  SCOPED_TRACE(built.item.name);
  Graph graph = built.test.graph;
  for (size_t i = 0; i < built.item.outputs.size(); ++i)
    graph.add_output("output " + std::to_string(i), built.item.outputs[i]);
  const auto expected = evaluate_reference(graph, built.test.tensors, built.test.tensors, kSeed);
  for (const KernelTable* table : supported_tables()) {
    SCOPED_TRACE(std::string(table->name));
    for (const bool pack : {false, true}) {
      ThreadPool pool(2);
      const auto actual = run(graph, built.test.tensors, {.pool = &pool, .table = table, .pack_parameters = pack});
      for (const auto& [name, tensor] : expected) expect_close(actual.at(name), tensor);
    }
  }
}

// Sizes that fill vectors and tiles, and such that leave remainders.
TEST(OpKernels, AgreeWithTheReferenceOnEveryTable) {
  for (const auto& [rows, width] : {std::pair{34, 64}, {6, 22}}) {
    const OpCases cases(DType::kF32, rows, width);
    for (const OpCases::Built& built : cases.all()) expect_kernels_agree(built);
  }
}

// A new op that is meant to run by its reference is named here.
TEST(OpKernels, ExistForAllButTheRareOps) {
  const std::set<std::string_view> by_reference = {"binary_cross_entropy", "binary_cross_entropy_grad"};
  for (const Op* op : all_ops()) {
    EXPECT_EQ(find_op_kernel(op->name()) == nullptr, by_reference.contains(op->name())) << op->name();
  }
}

}  // namespace
}  // namespace fettle
