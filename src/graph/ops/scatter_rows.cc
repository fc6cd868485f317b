// d_table[ids[r], :] += d_y[r, :], rows in order; `table` gives the shape only.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class ScatterRows final : public Op {
 public:
  std::string_view name() const override { return "scatter_rows"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3);
    const TensorType& ids = check.indices(0);
    const TensorType& d_y = check.floats(1, 2);
    const TensorType& table = check.floats(2, 2);
    check.same_dim(ids.shape[0], d_y.shape[0], "rows of ids and d_y");
    check.same_dim(d_y.shape[1], table.shape[1], "widths of d_y and table");
    return {table};
  }

  void reference(EvalContext& context) const override {
    const Tensor& ids = context.inputs[0];
    const std::vector<double> d_y = load_values(context.inputs[1]);
    const int64_t width = context.inputs[1].dim(1);
    std::vector<double> d_table(static_cast<size_t>(context.outputs[0].size()));
    for (int64_t r = 0; r < ids.size(); ++r) {
      const int64_t id = checked_id(ids.data<int32_t>()[r], context.outputs[0].dim(0), node_label(context.view.node));
      for (int64_t c = 0; c < width; ++c) {
        d_table[static_cast<size_t>(id * width + c)] += d_y[static_cast<size_t>(r * width + c)];
      }
    }
    store_values(d_table, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    if (!context.needs[1]) return;
    context.d_inputs[1] = context.graph.node("gather_rows", {context.d_outputs[0], context.node.inputs[0]});
  }

  // The table is not read; the result is cleared and its rows are read and written.
  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const double rows_bytes = bound_bytes(view.input_type(1), bindings);
    return {.flops = bound_elements(view.input_type(1), bindings),
            .bytes =
                bound_bytes(view.input_type(0), bindings) + 3 * rows_bytes + bound_bytes(view.input_type(2), bindings)};
  }
};

}  // namespace

const Op& scatter_rows_op() {
  static const ScatterRows op;
  return op;
}

}  // namespace fettle
