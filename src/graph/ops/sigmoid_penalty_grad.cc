// d_scores = d_loss · weight / n · σ(1 - σ) at scores + shift, for sigmoid_penalty.
#include <cmath>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class SigmoidPenaltyGrad final : public Op {
 public:
  std::string_view name() const override { return "sigmoid_penalty_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3);
    const TensorType scores = check.floats(0);
    check.scalar(1);
    check.scalar(2);
    return {scores};
  }

  void reference(EvalContext& context) const override {
    const double shift = context.view.attributes().get_double("shift", 0);
    std::vector<double> d = load_values(context.inputs[0]);
    const double factor =
        load_value(context.inputs[1], 0) * load_value(context.inputs[2], 0) / static_cast<double>(d.size());
    for (double& value : d) {
      const double s = 1 / (1 + std::exp(-(value + shift)));
      value = factor * s * (1 - s);
    }
    store_values(d, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 10 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& sigmoid_penalty_grad_op() {
  static const SigmoidPenaltyGrad op;
  return op;
}

}  // namespace fettle
