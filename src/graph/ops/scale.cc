// y = factor · x.
#include <limits>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class Scale final : public Op {
 public:
  std::string_view name() const override { return "scale"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 1);
    check.number("factor", std::numeric_limits<double>::lowest(), std::numeric_limits<double>::infinity());
    return {check.floats(0)};
  }

  void reference(EvalContext& context) const override {
    const double factor = context.view.attributes().get_double("factor");
    std::vector<double> y = load_values(context.inputs[0]);
    for (double& value : y) value *= factor;
    store_values(y, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    context.d_inputs[0] = context.graph.node("scale", {context.d_outputs[0]}, context.node.attributes);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& scale_op() {
  static const Scale op;
  return op;
}

}  // namespace fettle
