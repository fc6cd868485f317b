// weight · mean over all elements of σ(scores + shift): what scores are kept small by. With shift 0 the L1 norm of soft
// movement pruning (Sanh et al. 2020), with -β log(-γ / ζ) the expected number of open gates of L0 regularization
// (Louizos et al. 2018). `weight` [1] has no gradient.
#include <cmath>
#include <limits>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class SigmoidPenalty final : public Op {
 public:
  std::string_view name() const override { return "sigmoid_penalty"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& scores = check.floats(0);
    check.scalar(1);
    check.number_or("shift", 0, std::numeric_limits<double>::lowest(), std::numeric_limits<double>::infinity());
    return {{scores.dtype, {Graph::constant_dim(1)}}};
  }

  void reference(EvalContext& context) const override {
    const double shift = context.view.attributes().get_double("shift", 0);
    const std::vector<double> scores = load_values(context.inputs[0]);
    double sum = 0;
    for (const double score : scores) sum += 1 / (1 + std::exp(-(score + shift)));
    const double mean = scores.empty() ? 0 : sum / static_cast<double>(scores.size());
    const double loss = load_value(context.inputs[1], 0) * mean;
    store_values({&loss, 1}, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    if (!context.needs[0]) return;
    const Node& node = context.node;
    context.d_inputs[0] =
        context.graph.node("sigmoid_penalty_grad", {node.inputs[0], node.inputs[1], context.d_outputs[0]},
                           node.attributes, node.name + ".grad");
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 10 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& sigmoid_penalty_op() {
  static const SigmoidPenalty op;
  return op;
}

}  // namespace fettle
