// y[i, j] = weight[i, j] · mask[i / block_rows, j / block_columns]: a mask of 0 and 1, or gates in between. Its
// gradient is that of the product, d_mask[b] = Σ over the block of d_y · weight. Scores, when given, do not change the
// result; their gradient is the mask's, straight through the step from scores to mask (movement pruning, Sanh et al.
// 2020).
#include "graph/infer.h"
#include "graph/mask_blocks.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class MaskWeight final : public Op {
 public:
  std::string_view name() const override { return "mask_weight"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2, 1);
    const TensorType weight = check.floats(0, 2);
    check_mask(check, weight, check.floats(1, 2));
    if (view.has_input(2)) {
      check.floats(2, 2);
      check.same_shape(1, 2);
    }
    return {weight};
  }

  void reference(EvalContext& context) const override {
    const MaskBlocks blocks = MaskBlocks::of(context.view.attributes(), context.inputs[0].shape());
    const std::vector<double> mask = load_values(context.inputs[1]);
    std::vector<double> y = load_values(context.inputs[0]);
    for (size_t i = 0; i < y.size(); ++i) y[i] *= mask[static_cast<size_t>(blocks.block_of(static_cast<int64_t>(i)))];
    store_values(y, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    const Node& node = context.node;
    const bool wants_mask = context.needs[1] || (node.inputs.size() > 2 && context.needs[2]);
    const std::string label = node.name + ".grad";
    if (!wants_mask) {
      context.d_inputs[0] =
          context.graph.node("mask_weight", {context.d_outputs[0], node.inputs[1]}, node.attributes, label);
      return;
    }
    const std::vector<ValueId> d = context.graph.add_nodes(
        "mask_weight_grad", {node.inputs[0], node.inputs[1], context.d_outputs[0]}, node.attributes, label);
    context.d_inputs[0] = d[0];
    context.d_inputs[1] = d[1];
    if (node.inputs.size() > 2) context.d_inputs[2] = d[1];
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& mask_weight_op() {
  static const MaskWeight op;
  return op;
}

}  // namespace fettle
