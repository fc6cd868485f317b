// y = activation(x), element by element.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class Activate final : public Op {
 public:
  std::string_view name() const override { return "activate"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 1);
    check.one_of("kind", "", {"relu", "tanh", "gelu", "gelu_tanh"});
    return {check.floats(0)};
  }

  void reference(EvalContext& context) const override {
    const std::string kind = context.view.attributes().get_string("kind", "");
    std::vector<double> y = load_values(context.inputs[0]);
    for (double& value : y) value = activation_value(kind, value);
    store_values(y, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    context.d_inputs[0] = context.graph.node("activate_grad", {context.node.inputs[0], context.d_outputs[0]},
                                             context.node.attributes, context.node.name + ".grad");
  }

  // Transcendental functions count as one operation.
  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& activate_op() {
  static const Activate op;
  return op;
}

}  // namespace fettle
