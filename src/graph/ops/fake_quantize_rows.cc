// y[r, :] = round(x[r, :] / s) · s with s = max |x[r, :]| / highest: what a linear sees of inputs that become integers
// row by row as it runs. Rounding counts as the identity for the gradient, and nothing is out of range.
#include <algorithm>
#include <cmath>

#include "graph/fake_quantize.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class FakeQuantizeRows final : public Op {
 public:
  std::string_view name() const override { return "fake_quantize_rows"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 1);
    const TensorType x = check.floats(0, 2);
    check.integer_or("highest", 127, 1);
    return {x};
  }

  void reference(EvalContext& context) const override {
    const auto highest = static_cast<double>(context.view.attributes().get_int("highest", 127));
    std::vector<double> y = load_values(context.inputs[0]);
    const auto width = static_cast<size_t>(context.inputs[0].dim(1));
    for (size_t row = 0; width > 0 && row < y.size(); row += width) {
      double largest = 0;
      for (size_t i = row; i < row + width; ++i) largest = std::max(largest, std::abs(y[i]));
      const double step = largest / highest;
      if (step == 0) continue;
      for (size_t i = row; i < row + width; ++i) y[i] = round_even(y[i] / step) * step;
    }
    store_values(y, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override { context.d_inputs[0] = context.d_outputs[0]; }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 5 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& fake_quantize_rows_op() {
  static const FakeQuantizeRows op;
  return op;
}

}  // namespace fettle
