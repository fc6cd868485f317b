// y = activation(x Wᵀ + b).
#include "base/error.h"
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class Linear final : public Op {
 public:
  std::string_view name() const override { return "linear"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2, 1);
    const TensorType& x = check.floats(0, 2);
    const TensorType& weight = check.floats(1, 2);
    check.same_dim(x.shape[1], weight.shape[1], "widths of x and weight");
    if (view.has_input(2)) check.vector_of(2, weight.shape[0]);
    check.one_of("activation", "none", {"none", "relu", "tanh", "gelu", "gelu_tanh"});
    return {{x.dtype, {x.shape[0], weight.shape[0]}}};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> bias = context.view.has_input(2) ? load_values(context.inputs[2]) : std::vector<double>();
    std::vector<double> y = linear_values(load_values(context.inputs[0]), load_values(context.inputs[1]), bias,
                                          {.m = context.inputs[0].dim(0),
                                           .n = context.inputs[1].dim(0),
                                           .k = context.inputs[1].dim(1),
                                           .transpose_b = true});
    const std::string activation = context.view.attributes().get_string("activation", "none");
    for (double& value : y) value = activation_value(activation, value);
    store_values(y, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    const Node& node = context.node;
    if (node.attributes.get_string("activation", "none") != "none") {
      failed(node_label(node), "has no gradient with a fused activation");
    }
    const ValueId d_y = context.d_outputs[0];
    Graph& graph = context.graph;
    if (context.needs[0]) context.d_inputs[0] = graph.node("matmul", {d_y, node.inputs[1]}, {}, node.name + ".d_x");
    if (context.needs[1]) {
      context.d_inputs[1] =
          graph.node("matmul", {d_y, node.inputs[0]}, {{"transpose_a", true}}, node.name + ".d_weight");
    }
    if (node.inputs.size() > 2 && context.needs[2]) {
      context.d_inputs[2] = graph.node("sum_rows", {d_y}, {}, node.name + ".d_bias");
    }
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const double rows = static_cast<double>(bind_shape(view.input_type(0), bindings)[0]);
    return {.flops = 2 * rows * bound_elements(view.input_type(1), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& linear_op() {
  static const Linear op;
  return op;
}

}  // namespace fettle
