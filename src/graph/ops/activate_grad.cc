// d_x = d_y · activation'(x).
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class ActivateGrad final : public Op {
 public:
  std::string_view name() const override { return "activate_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& x = check.floats(0);
    check.floats(1);
    check.same_shape(0, 1);
    check.one_of("kind", "", {"relu", "tanh", "gelu", "gelu_tanh"});
    return {x};
  }

  void reference(EvalContext& context) const override {
    const std::string kind = context.view.attributes().get_string("kind", "");
    std::vector<double> d_x = load_values(context.inputs[0]);
    const std::vector<double> d_y = load_values(context.inputs[1]);
    for (size_t i = 0; i < d_x.size(); ++i) d_x[i] = d_y[i] * activation_slope(kind, d_x[i]);
    store_values(d_x, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 2 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& activate_grad_op() {
  static const ActivateGrad op;
  return op;
}

}  // namespace fettle
