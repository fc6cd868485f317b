// d_log_alpha = d_gates · keep · dz / d log α of hard_concrete, with the same noise.
#include "graph/hard_concrete.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class HardConcreteGrad final : public Op {
 public:
  std::string_view name() const override { return "hard_concrete_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 4);
    const TensorType log_alpha = infer_gates(check);
    check.floats(3);
    check.same_shape(0, 3);
    return {log_alpha};
  }

  void reference(EvalContext& context) const override {
    const auto gates = HardConcrete<double>::of(context.view.attributes());
    const auto stream = static_cast<uint64_t>(context.view.attributes().get_int("stream"));
    const bool is_noisy = load_value(context.inputs[2], 0) != 0;
    const std::vector<double> log_alpha = load_values(context.inputs[0]);
    const std::vector<double> keep = load_values(context.inputs[1]);
    std::vector<double> d = load_values(context.inputs[3]);
    for (size_t i = 0; i < d.size(); ++i) {
      const double s = is_noisy ? gates.noisy(log_alpha[i], static_cast<double>(gate_noise(context.seed, stream, i)))
                                : gates.quiet(log_alpha[i]);
      d[i] *= keep[i] * gates.slope(s, is_noisy);
    }
    store_values(d, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 33 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& hard_concrete_grad_op() {
  static const HardConcreteGrad op;
  return op;
}

}  // namespace fettle
