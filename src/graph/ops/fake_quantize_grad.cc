// d_x = d_y inside the range, 0 outside, and d_step[b] = gradient_scale · Σ over block b of d_y · (n - x / step), the
// bound in place of the difference outside, for fake_quantize (equations 3 and 5 of Esser et al. 2020).
#include "graph/fake_quantize.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class FakeQuantizeGrad final : public Op {
 public:
  std::string_view name() const override { return "fake_quantize_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3, 1);
    const TensorType x = check.floats(0, 2);
    const TensorType steps = check.floats(1, 2);
    check_fake_quantize(check, x, steps);
    check.floats(2, 2);
    check.same_shape(0, 2);
    if (view.has_input(3)) {
      check.floats(3, 2);
      check.same_shape(1, 3);
    }
    return {x, steps};
  }

  void reference(EvalContext& context) const override {
    const FakeQuantize shape = FakeQuantize::of(context.view.attributes());
    const std::vector<double> x = load_values(context.inputs[0]);
    std::vector<double> d = load_values(context.inputs[2]);
    std::vector<double> d_steps(static_cast<size_t>(context.inputs[1].size()), 0);
    const MaskBlocks blocks = shape.blocks(context.inputs[0].dim(0), context.inputs[0].dim(1));
    for (size_t i = 0; i < d.size(); ++i) {
      const int64_t block = blocks.block_of(static_cast<int64_t>(i));
      const double zero = context.view.has_input(3) ? load_value(context.inputs[3], block) : 0;
      const double step = shape.stored(load_value(context.inputs[1], block));
      const auto slopes = FakeRange<double>{step, shape.lowest - zero, shape.highest - zero}.slopes(x[i]);
      d_steps[static_cast<size_t>(block)] += shape.gradient_scale * d[i] * slopes.of_step;
      if (!slopes.inside) d[i] = 0;
    }
    store_values(d, context.outputs[0]);
    store_values(d_steps, context.outputs[1]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 8 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& fake_quantize_grad_op() {
  static const FakeQuantizeGrad op;
  return op;
}

}  // namespace fettle
