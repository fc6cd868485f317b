// Mean of (a - b)² over all elements; 0 when there are none.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class MeanSquaredError final : public Op {
 public:
  std::string_view name() const override { return "mean_squared_error"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& a = check.floats(0);
    check.floats(1);
    check.same_shape(0, 1);
    return {{a.dtype, {Graph::constant_dim(1)}}};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> a = load_values(context.inputs[0]);
    const std::vector<double> b = load_values(context.inputs[1]);
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    const double loss = a.empty() ? 0 : sum / static_cast<double>(a.size());
    store_values({&loss, 1}, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    const Node& node = context.node;
    const ValueId d_a = context.graph.node(
        "mean_squared_error_grad", {node.inputs[0], node.inputs[1], context.d_outputs[0]}, {}, node.name + ".grad");
    context.d_inputs[0] = d_a;
    if (context.needs[1]) context.d_inputs[1] = context.graph.node("scale", {d_a}, {{"factor", -1.0}});
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 3 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& mean_squared_error_op() {
  static const MeanSquaredError op;
  return op;
}

}  // namespace fettle
