// For tests and fuzzing: what must hold of every graph that could be built.
#pragma once

#include <bit>

#include "graph/autodiff.h"
#include "graph/evaluate.h"
#include "graph/passes.h"
#include "graph/random_graph.h"

namespace fettle {

// The outputs, or none where the values of the inputs are refused (Error kBadInput, kFailed).
inline std::map<std::string, Tensor> evaluate_if_valid(const Graph& graph,
                                                       const std::map<std::string, Tensor>& tensors) {
  try {
    return evaluate_reference(graph, tensors, {}, 3);
  } catch (const Error&) {
    return {};
  }
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  if (a.dtype() != DType::kF64) return true;  // an input, handed through
  for (int64_t i = 0; i < a.size(); ++i) {
    const double x = a.data<double>()[i];
    const double y = b.data<double>()[i];
    if (std::bit_cast<uint64_t>(x) != std::bit_cast<uint64_t>(y) && !(x != x && y != y)) return false;
  }
  return true;
}

// Every pass leaves a sound graph with the same outputs, but for the first, which takes dropout away. Returns the name
// of the pass at fault, or nothing.
inline std::string pass_at_fault(const RandomGraph& random) {
  Graph graph = random.graph;
  std::map<std::string, Tensor> expected;
  for (const Pass& pass : inference_passes()) {
    pass.run(graph);
    verify(graph);
    const std::map<std::string, Tensor> outputs = evaluate_if_valid(graph, random.tensors);
    if (pass.name == inference_passes().front().name) expected = outputs;
    for (const auto& [name, value] : expected) {
      if (!outputs.contains(name) || !same_bits(value, outputs.at(name))) return std::string(pass.name);
    }
  }
  return "";
}

// Differentiates where every op on the way has a gradient; then the graph must be sound and its gradients have the
// types of the inputs (verify throws).
inline bool differentiates(const RandomGraph& random) {
  Graph graph = random.graph;
  const ValueId last = graph.find("last");
  const ValueId loss = graph.node("mean_squared_error", {last, graph.node("scale", {last}, {{"factor", 0.5}})});
  std::vector<ValueId> gradients;
  try {
    gradients = differentiate(graph, loss, random.float_inputs);
  } catch (const Error&) {
    return false;
  }
  verify(graph);
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i] == kNoValue) continue;
    if (graph.type(gradients[i]) != graph.type(random.float_inputs[i])) failed("gradient", "has another type");
    graph.add_output("gradient " + std::to_string(i), gradients[i]);
  }
  evaluate_if_valid(graph, random.tensors);
  return true;
}

}  // namespace fettle
