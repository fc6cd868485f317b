// Mean over all elements of -(t · log σ(x) + (1 - t) · log(1 - σ(x))), σ the sigmoid, t targets in [0, 1]: every label
// of a row is a yes or no of its own (as PyTorch's binary_cross_entropy_with_logits). 0 when there are no elements. The
// targets have no gradient.
#include <algorithm>
#include <cmath>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class BinaryCrossEntropy final : public Op {
 public:
  std::string_view name() const override { return "binary_cross_entropy"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& logits = check.floats(0);
    check.floats(1);
    check.same_shape(0, 1);
    return {{logits.dtype, {Graph::constant_dim(1)}}};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> logits = load_values(context.inputs[0]);
    const std::vector<double> targets = load_values(context.inputs[1]);
    double sum = 0;
    // log(1 + e^x) - t x, without overflow.
    for (size_t i = 0; i < logits.size(); ++i) {
      sum += std::max(logits[i], 0.0) - targets[i] * logits[i] + std::log1p(std::exp(-std::fabs(logits[i])));
    }
    const double loss = logits.empty() ? 0 : sum / static_cast<double>(logits.size());
    store_values({&loss, 1}, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    if (!context.needs[0]) return;
    const Node& node = context.node;
    context.d_inputs[0] = context.graph.node(
        "binary_cross_entropy_grad", {node.inputs[0], node.inputs[1], context.d_outputs[0]}, {}, node.name + ".grad");
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 6 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& binary_cross_entropy_op() {
  static const BinaryCrossEntropy op;
  return op;
}

}  // namespace fettle
