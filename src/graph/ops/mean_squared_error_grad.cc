// d_a = d_loss · 2 (a - b) / n, over all n elements.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class MeanSquaredErrorGrad final : public Op {
 public:
  std::string_view name() const override { return "mean_squared_error_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3);
    const TensorType& a = check.floats(0);
    check.floats(1);
    check.same_shape(0, 1);
    check.scalar(2);
    return {a};
  }

  void reference(EvalContext& context) const override {
    std::vector<double> d_a = load_values(context.inputs[0]);
    const std::vector<double> b = load_values(context.inputs[1]);
    const double factor = 2 * load_value(context.inputs[2], 0) / static_cast<double>(d_a.size());
    for (size_t i = 0; i < d_a.size(); ++i) d_a[i] = factor * (d_a[i] - b[i]);
    store_values(d_a, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 2 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& mean_squared_error_grad_op() {
  static const MeanSquaredErrorGrad op;
  return op;
}

}  // namespace fettle
