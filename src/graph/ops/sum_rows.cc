// Column sums: y[c] = Σ_r x[r, c], rows in order.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class SumRows final : public Op {
 public:
  std::string_view name() const override { return "sum_rows"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 1);
    const TensorType& x = check.floats(0, 2);
    return {{x.dtype, {x.shape[1]}}};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> x = load_values(context.inputs[0]);
    std::vector<double> y(static_cast<size_t>(context.outputs[0].size()));
    for (size_t i = 0; i < x.size(); ++i) y[i % y.size()] += x[i];
    store_values(y, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& sum_rows_op() {
  static const SumRows op;
  return op;
}

}  // namespace fettle
