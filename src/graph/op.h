// An op: shape inference, reference evaluation, gradient and cost in one place. One file in ops/ for each.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "graph/graph.h"

namespace fettle {

// What a reference evaluation or a shape inference sees of its node.
struct NodeView {
  const Graph& graph;
  const Node& node;

  const TensorType& input_type(size_t i) const { return graph.type(node.inputs[i]); }
  bool has_input(size_t i) const { return i < node.inputs.size() && node.inputs[i] != kNoValue; }
  const Attributes& attributes() const { return node.attributes; }
};

struct EvalContext {
  NodeView view;
  std::span<const Tensor> inputs;  // absent optional inputs are undefined tensors
  std::span<Tensor> outputs;       // allocated and zero-filled
  uint64_t seed = 0;               // of this run; ops that draw random numbers combine it with their `stream` attribute
};

struct Cost {
  double flops = 0;
  double bytes = 0;  // read and written, parameters included
};

// Appends the nodes of a gradient to the graph.
struct GradientContext {
  Graph& graph;
  const Node node;                     // a copy: the graph grows while gradients are added
  std::span<const ValueId> d_outputs;  // kNoValue where nothing depends on that output
  std::vector<ValueId> d_inputs;       // to fill, one for each input; kNoValue where there is none
  std::vector<bool> needs;             // whether the gradient of that input is wanted
};

class Op {
 public:
  virtual ~Op() = default;
  virtual std::string_view name() const = 0;
  // Types of the outputs; Error kFailed with what is wrong when the inputs do not fit.
  virtual std::vector<TensorType> infer(const NodeView& view) const = 0;
  // Symbols that infer uses besides those of the inputs; the graph makes them before it asks. Default: none.
  virtual std::vector<std::string_view> symbols() const { return {}; }
  // Plain loops, the oracle for every kernel.
  virtual void reference(EvalContext& context) const = 0;
  // Default: Error kFailed "has no gradient".
  virtual void gradient(GradientContext& context) const;
  // With shapes bound. Default: no flops, bytes of all inputs and outputs.
  virtual Cost cost(const NodeView& view, const SymbolBindings& bindings) const;
};

// Error kFailed when there is no op of that name.
const Op& find_op(std::string_view name);
std::span<const Op* const> all_ops();

}  // namespace fettle
