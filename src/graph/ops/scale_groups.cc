// Gates: y[r, c] = x[r, c] · gates[s, c / (width / groups)], s the sequence of row r. x [rows, width], gates
// [sequences, groups], offsets [sequences + 1]. groups divides width: heads side by side, or single neurons.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class ScaleGroups final : public Op {
 public:
  std::string_view name() const override { return "scale_groups"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3);
    const TensorType& x = check.floats(0, 2);
    const TensorType& gates = check.floats(1, 2);
    Dim n_offsets = gates.shape[0];
    ++n_offsets.value;
    check.same_dim(n_offsets, check.indices(2).shape[0], "sequences of gates and offsets");
    const Dim& width = x.shape[1];
    const Dim& groups = gates.shape[1];
    if (!width.is_constant() || !groups.is_constant() || groups.value < 1 || width.value % groups.value != 0) {
      check.fail("columns are not groups of equal width");
    }
    return {x};
  }

  void reference(EvalContext& context) const override {
    std::vector<double> y = load_values(context.inputs[0]);
    const std::vector<double> gates = load_values(context.inputs[1]);
    const auto offsets = checked_offsets(context.inputs[2], context.inputs[0].dim(0), node_label(context.view.node));
    const int64_t width = context.inputs[0].dim(1);
    const int64_t n_groups = context.inputs[1].dim(1);
    for (size_t s = 0; s + 1 < offsets.size(); ++s) {
      for (int64_t i = offsets[s] * width; i < offsets[s + 1] * width; ++i) {
        const int64_t group = (i % width) / (width / n_groups);
        y[static_cast<size_t>(i)] *= gates[s * static_cast<size_t>(n_groups) + static_cast<size_t>(group)];
      }
    }
    store_values(y, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    const Node& node = context.node;
    const ValueId d_y = context.d_outputs[0];
    if (context.needs[0]) {
      context.d_inputs[0] =
          context.graph.node("scale_groups", {d_y, node.inputs[1], node.inputs[2]}, {}, node.name + ".grad");
    }
    if (context.needs[1]) {
      const int64_t n_groups = context.graph.type(node.inputs[1]).shape[1].value;
      context.d_inputs[1] = context.graph.node("scale_groups_grad", {node.inputs[0], d_y, node.inputs[2]},
                                               {{"groups", n_groups}}, node.name + ".gates.grad");
    }
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& scale_groups_op() {
  static const ScaleGroups op;
  return op;
}

}  // namespace fettle
