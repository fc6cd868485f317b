// d_gates[s, g] = Σ over the rows r of sequence s and the columns c of group g of x[r, c] · d_y[r, c]. x and d_y
// [rows, width], offsets [sequences + 1]; attribute groups.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class ScaleGroupsGrad final : public Op {
 public:
  std::string_view name() const override { return "scale_groups_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3);
    const TensorType& x = check.floats(0, 2);
    check.floats(1, 2);
    check.same_shape(0, 1);
    Dim n_sequences = check.indices(2).shape[0];
    --n_sequences.value;
    const int64_t n_groups = check.integer("groups", 1);
    if (!x.shape[1].is_constant() || x.shape[1].value % n_groups != 0) {
      check.fail("columns are not groups of equal width");
    }
    return {{x.dtype, {n_sequences, Graph::constant_dim(n_groups)}}};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> x = load_values(context.inputs[0]);
    const std::vector<double> d_y = load_values(context.inputs[1]);
    const auto offsets = checked_offsets(context.inputs[2], context.inputs[0].dim(0), node_label(context.view.node));
    const int64_t width = context.inputs[0].dim(1);
    const int64_t n_groups = context.view.attributes().get_int("groups");
    std::vector<double> d_gates(static_cast<size_t>(context.outputs[0].size()));
    for (size_t s = 0; s + 1 < offsets.size(); ++s) {
      for (int64_t i = offsets[s] * width; i < offsets[s + 1] * width; ++i) {
        const int64_t group = (i % width) / (width / n_groups);
        d_gates[s * static_cast<size_t>(n_groups) + static_cast<size_t>(group)] +=
            x[static_cast<size_t>(i)] * d_y[static_cast<size_t>(i)];
      }
    }
    store_values(d_gates, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 2 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& scale_groups_grad_op() {
  static const ScaleGroupsGrad op;
  return op;
}

}  // namespace fettle
