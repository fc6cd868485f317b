// y = a + b, same shapes.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class Add final : public Op {
 public:
  std::string_view name() const override { return "add"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& a = check.floats(0);
    check.floats(1);
    check.same_shape(0, 1);
    return {a};
  }

  void reference(EvalContext& context) const override {
    std::vector<double> y = load_values(context.inputs[0]);
    const std::vector<double> b = load_values(context.inputs[1]);
    for (size_t i = 0; i < y.size(); ++i) y[i] += b[i];
    store_values(y, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    context.d_inputs = {context.d_outputs[0], context.d_outputs[0]};
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& add_op() {
  static const Add op;
  return op;
}

}  // namespace fettle
