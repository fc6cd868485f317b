// Layer normalization of x (+ residual) by row (Ba et al. 2016): y = (x - mean) · rstd · gamma + beta, rstd = 1 /
// sqrt(variance + eps).
#include "base/error.h"
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class LayerNorm final : public Op {
 public:
  std::string_view name() const override { return "layer_norm"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3, 1);
    const TensorType& x = check.floats(0, 2);
    check.vector_of(1, x.shape[1]);
    check.vector_of(2, x.shape[1]);
    check.number("eps", 0, 1);
    if (view.has_input(3)) {
      check.floats(3);
      check.same_shape(0, 3);
    }
    const TensorType by_row{x.dtype, {x.shape[0]}};
    return {x, by_row, by_row};
  }

  void reference(EvalContext& context) const override {
    std::vector<double> y = load_values(context.inputs[0]);
    if (context.view.has_input(3)) {
      const std::vector<double> residual = load_values(context.inputs[3]);
      for (size_t i = 0; i < y.size(); ++i) y[i] += residual[i];
    }
    Moments moments = layer_norm_values(y, load_values(context.inputs[1]), load_values(context.inputs[2]),
                                        context.view.attributes().get_double("eps"));
    // Rows without elements have no moments.
    moments.mean.resize(static_cast<size_t>(context.inputs[0].dim(0)), 0);
    moments.rstd.resize(moments.mean.size(), 0);
    store_values(y, context.outputs[0]);
    store_values(moments.mean, context.outputs[1]);
    store_values(moments.rstd, context.outputs[2]);
  }

  void gradient(GradientContext& context) const override {
    const Node& node = context.node;
    if (node.inputs.size() > 3 && node.inputs[3] != kNoValue) {
      failed(node_label(node), "has no gradient with a fused residual");
    }
    if (context.d_outputs[1] != kNoValue || context.d_outputs[2] != kNoValue) {
      failed(node_label(node), "has no gradient of mean and rstd");
    }
    const std::vector<ValueId> d = context.graph.add_nodes(
        "layer_norm_grad", {node.inputs[0], context.d_outputs[0], node.inputs[1], node.outputs[1], node.outputs[2]}, {},
        node.name + ".grad");
    for (size_t i = 0; i < 3; ++i) context.d_inputs[i] = d[i];
  }

  // Sum, centred squares, scale and shift.
  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 8 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& layer_norm_op() {
  static const LayerNorm op;
  return op;
}

}  // namespace fettle
