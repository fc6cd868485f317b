// y[i] = x[i] · dropout_keep(seed, stream, i, p) / (1 - p) (Srivastava et al. 2014, inverted). Its gradient is the same
// mask on d_y.
#include "base/philox.h"
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class Dropout final : public Op {
 public:
  std::string_view name() const override { return "dropout"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 1);
    check.number("p", 0, 1);
    check.integer("stream", 0);
    return {check.floats(0)};
  }

  void reference(EvalContext& context) const override {
    const double p = context.view.attributes().get_double("p");
    const auto stream = static_cast<uint64_t>(context.view.attributes().get_int("stream"));
    std::vector<double> y = load_values(context.inputs[0]);
    for (size_t i = 0; i < y.size(); ++i) {
      y[i] = dropout_keep(context.seed, stream, i, static_cast<float>(p)) ? y[i] / (1 - p) : 0;
    }
    store_values(y, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    context.d_inputs[0] =
        context.graph.node("dropout", {context.d_outputs[0]}, context.node.attributes, context.node.name + ".grad");
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& dropout_op() {
  static const Dropout op;
  return op;
}

}  // namespace fettle
