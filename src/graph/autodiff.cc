#include "graph/autodiff.h"

#include "base/error.h"
#include "graph/infer.h"
#include "graph/op.h"

namespace fettle {
namespace {

// Which values depend on any of `wrt`.
std::vector<bool> dependents(const Graph& graph, std::span<const ValueId> wrt) {
  std::vector<bool> depends(graph.values().size(), false);
  for (const ValueId id : wrt) depends[static_cast<size_t>(id)] = true;
  for (const Node& node : graph.nodes()) {
    bool any = false;
    for (const ValueId input : node.inputs) any = any || (input != kNoValue && depends[static_cast<size_t>(input)]);
    if (!any) continue;
    for (const ValueId output : node.outputs) depends[static_cast<size_t>(output)] = true;
  }
  return depends;
}

ValueId initial_gradient(Graph& graph, ValueId loss) {
  const TensorType type = graph.type(loss);
  Shape shape;
  for (const Dim& dim : type.shape) {
    if (dim != Graph::constant_dim(1))
      failed("differentiate", "the loss is " + type_to_string(graph, type) + ", not [1]");
    shape.push_back(1);
  }
  if (type.dtype != DType::kF32 && type.dtype != DType::kF64) failed("differentiate", "the loss is not f32");
  Tensor one(type.dtype, shape);
  if (type.dtype == DType::kF64) {
    *one.mutable_data<double>() = 1;
  } else {
    *one.mutable_data<float>() = 1;
  }
  return graph.add_constant("d_loss", one);
}

class Differentiation {
 public:
  Differentiation(Graph& graph, ValueId loss, std::span<const ValueId> wrt)
      : graph_(graph), depends_(dependents(graph, wrt)), gradients_(graph.values().size(), kNoValue) {
    if (depends_[static_cast<size_t>(loss)]) gradients_[static_cast<size_t>(loss)] = initial_gradient(graph, loss);
  }

  void run() {
    for (size_t i = graph_.nodes().size(); i-- > 0;) add_gradient_of(i);
  }

  ValueId of(ValueId value) const { return gradients_[static_cast<size_t>(value)]; }

 private:
  void add_gradient_of(size_t index) {
    const Node node = graph_.nodes()[index];
    std::vector<ValueId> d_outputs;
    bool reached = false;
    for (const ValueId output : node.outputs) {
      d_outputs.push_back(of(output));
      reached = reached || d_outputs.back() != kNoValue;
    }
    if (!reached) return;
    GradientContext context{graph_, node, d_outputs, std::vector<ValueId>(node.inputs.size(), kNoValue), {}};
    bool wanted = false;
    for (const ValueId input : node.inputs) {
      context.needs.push_back(input != kNoValue && depends_[static_cast<size_t>(input)]);
      wanted = wanted || context.needs.back();
    }
    if (!wanted) return;
    node.op->gradient(context);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (context.needs[i] && context.d_inputs[i] != kNoValue) accumulate(node.inputs[i], context.d_inputs[i]);
    }
  }

  void accumulate(ValueId value, ValueId gradient) {
    ValueId& sum = gradients_[static_cast<size_t>(value)];
    sum = sum == kNoValue ? gradient : graph_.node("add", {sum, gradient}, {}, graph_.value(value).name + ".d");
  }

  Graph& graph_;
  std::vector<bool> depends_;
  std::vector<ValueId> gradients_;  // of the values that were there at the start
};

}  // namespace

std::vector<ValueId> differentiate(Graph& graph, ValueId loss, std::span<const ValueId> wrt) {
  for (const ValueId id : wrt) {
    if (id < 0 || id >= static_cast<ValueId>(graph.values().size())) failed("differentiate", "there is no such value");
  }
  if (loss < 0 || loss >= static_cast<ValueId>(graph.values().size())) failed("differentiate", "there is no such loss");
  Differentiation differentiation(graph, loss, wrt);
  differentiation.run();
  std::vector<ValueId> gradients;
  for (const ValueId id : wrt) gradients.push_back(differentiation.of(id));
  return gradients;
}

}  // namespace fettle
