// d_weight = d_y · mask and d_mask[b] = Σ over block b of d_y · weight, for mask_weight.
#include "graph/infer.h"
#include "graph/mask_blocks.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class MaskWeightGrad final : public Op {
 public:
  std::string_view name() const override { return "mask_weight_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3);
    const TensorType weight = check.floats(0, 2);
    const TensorType mask = check.floats(1, 2);
    check_mask(check, weight, mask);
    check.floats(2, 2);
    check.same_shape(0, 2);
    return {weight, mask};
  }

  void reference(EvalContext& context) const override {
    const MaskBlocks blocks = MaskBlocks::of(context.view.attributes(), context.inputs[0].shape());
    const std::vector<double> weight = load_values(context.inputs[0]);
    const std::vector<double> mask = load_values(context.inputs[1]);
    std::vector<double> d = load_values(context.inputs[2]);
    std::vector<double> d_mask(mask.size(), 0);
    for (size_t i = 0; i < d.size(); ++i) {
      const auto block = static_cast<size_t>(blocks.block_of(static_cast<int64_t>(i)));
      d_mask[block] += d[i] * weight[i];
      d[i] *= mask[block];
    }
    store_values(d, context.outputs[0]);
    store_values(d_mask, context.outputs[1]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 3 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& mask_weight_grad_op() {
  static const MaskWeightGrad op;
  return op;
}

}  // namespace fettle
