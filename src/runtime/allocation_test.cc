// Runs of a size that was seen before allocate nothing.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "graph/passes.h"
#include "runtime/executor.h"
#include "runtime/test_graphs.h"

#ifndef FETTLE_SANITIZED

namespace {
std::atomic<int64_t> n_allocations{0};
}

// Not inlined: gcc 12 would see std::free on what another new gave.
[[gnu::noinline]] void* operator new(size_t size) {
  ++n_allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace fettle {
namespace {

int64_t allocations_of_second_run(const Graph& graph, const Model& model, const ExecutorOptions& options) {
  Executor executor(
      graph, [&](std::string_view name) -> const EncodedTensor& { return model.parameters.get(name); }, options);
  const auto set = [&](const test::Tensors& inputs) {
    for (const auto& [name, tensor] : inputs) executor.set_input(name, tensor);
  };
  const test::Tensors large = test::batch_inputs(test::random_batch({30, 2, 40}, 97, 1), 5);
  const test::Tensors small = test::batch_inputs(test::random_batch({8, 3}, 97, 1), 5);
  set(large);
  executor.run();
  set(small);
  executor.run();
  const int64_t before = n_allocations;
  executor.run();
  set(large);
  executor.run();
  return n_allocations - before;
}

TEST(Allocations, NoneInInference) {
  const Model model = test::random_model(test::small_config(Architecture::kBert, 5), 1);
  Graph graph = build_graph(model.config, {});
  EXPECT_EQ(allocations_of_second_run(graph, model, {}), 0);
  for (const Pass& pass : inference_passes()) pass.run(graph);
  EXPECT_EQ(allocations_of_second_run(graph, model, {}), 0);
}

TEST(Allocations, NoneInTraining) {
  const Model model = test::random_model(test::small_config(Architecture::kBert, 5), 1);
  const Graph graph = test::training_graph(model.config, GraphOptions::Head::kClassifier);
  EXPECT_EQ(allocations_of_second_run(graph, model, {.pack_parameters = false}), 0);
}

}  // namespace
}  // namespace fettle

#endif
