// Gates of L0 regularization, times `keep`: stochastic where the input `noise` [1] is not 0, deterministic where it is
// (graph/hard_concrete.h).
#include "graph/hard_concrete.h"

#include "graph/reference.h"

namespace fettle {
namespace {

class HardConcreteOp final : public Op {
 public:
  std::string_view name() const override { return "hard_concrete"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3);
    return {infer_gates(check)};
  }

  void reference(EvalContext& context) const override {
    const auto gates = HardConcrete<double>::of(context.view.attributes());
    const auto stream = static_cast<uint64_t>(context.view.attributes().get_int("stream"));
    const bool is_noisy = load_value(context.inputs[2], 0) != 0;
    std::vector<double> z = load_values(context.inputs[0]);
    const std::vector<double> keep = load_values(context.inputs[1]);
    for (size_t i = 0; i < z.size(); ++i) {
      const double s =
          is_noisy ? gates.noisy(z[i], static_cast<double>(gate_noise(context.seed, stream, i))) : gates.quiet(z[i]);
      z[i] = keep[i] * gates.gate(s);
    }
    store_values(z, context.outputs[0]);
  }

  // `keep` is no part of what is learned.
  void gradient(GradientContext& context) const override {
    const Node& node = context.node;
    context.d_inputs[0] =
        context.graph.node("hard_concrete_grad", {node.inputs[0], node.inputs[1], node.inputs[2], context.d_outputs[0]},
                           node.attributes, node.name + ".grad");
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 30 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& hard_concrete_op() {
  static const HardConcreteOp op;
  return op;
}

}  // namespace fettle
