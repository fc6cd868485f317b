// d_logits = d_loss · (σ(logits) - targets) / n, over all n elements.
#include <cmath>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class BinaryCrossEntropyGrad final : public Op {
 public:
  std::string_view name() const override { return "binary_cross_entropy_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3);
    const TensorType& logits = check.floats(0);
    check.floats(1);
    check.same_shape(0, 1);
    check.scalar(2);
    return {logits};
  }

  void reference(EvalContext& context) const override {
    std::vector<double> d = load_values(context.inputs[0]);
    const std::vector<double> targets = load_values(context.inputs[1]);
    const double factor = load_value(context.inputs[2], 0) / static_cast<double>(d.size());
    for (size_t i = 0; i < d.size(); ++i) d[i] = factor * (1 / (1 + std::exp(-d[i])) - targets[i]);
    store_values(d, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 5 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& binary_cross_entropy_grad_op() {
  static const BinaryCrossEntropyGrad op;
  return op;
}

}  // namespace fettle
