// y = (clamp(round(x / step) + zero, lowest, highest) - zero) · step: x as if it were stored as integers. Blocks of
// elements share a step and a zero point. Rounding counts as the identity for gradients; steps are learned with the
// gradient of "Learned Step Size Quantization" (Esser et al. 2020).
#include "graph/fake_quantize.h"

#include "graph/reference.h"

namespace fettle {
namespace {

class FakeQuantizeOp final : public Op {
 public:
  std::string_view name() const override { return "fake_quantize"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2, 1);
    const TensorType x = check.floats(0, 2);
    check_fake_quantize(check, x, check.floats(1, 2));
    if (view.has_input(2)) {
      check.floats(2, 2);
      check.same_shape(1, 2);
    }
    return {x};
  }

  void reference(EvalContext& context) const override {
    const FakeQuantize shape = FakeQuantize::of(context.view.attributes());
    std::vector<double> y = load_values(context.inputs[0]);
    const MaskBlocks blocks = shape.blocks(context.inputs[0].dim(0), context.inputs[0].dim(1));
    for (size_t i = 0; i < y.size(); ++i) {
      const int64_t block = blocks.block_of(static_cast<int64_t>(i));
      const double zero = context.view.has_input(2) ? load_value(context.inputs[2], block) : 0;
      const double step = shape.stored(load_value(context.inputs[1], block));
      y[i] = FakeRange<double>{step, shape.lowest - zero, shape.highest - zero}.value(y[i]);
    }
    store_values(y, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    const Node& node = context.node;
    std::vector<ValueId> inputs{node.inputs[0], node.inputs[1], context.d_outputs[0]};
    if (node.inputs.size() > 2) inputs.push_back(node.inputs[2]);
    const std::vector<ValueId> d =
        context.graph.add_nodes("fake_quantize_grad", inputs, node.attributes, node.name + ".grad");
    context.d_inputs[0] = d[0];
    context.d_inputs[1] = d[1];
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 6 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& fake_quantize_op() {
  static const FakeQuantizeOp op;
  return op;
}

}  // namespace fettle
