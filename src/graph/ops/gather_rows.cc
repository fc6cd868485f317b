// y[r, :] = table[ids[r], :]: embedding look-up and selection of rows.
#include <cstring>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class GatherRows final : public Op {
 public:
  std::string_view name() const override { return "gather_rows"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& table = check.floats(0, 2);
    const TensorType& ids = check.indices(1);
    return {{table.dtype, {ids.shape[0], table.shape[1]}}};
  }

  void reference(EvalContext& context) const override {
    const Tensor& table = context.inputs[0];
    const Tensor& ids = context.inputs[1];
    const auto row_bytes = static_cast<size_t>(table.dim(1) * dtype_size(table.dtype()));
    auto* to = static_cast<char*>(context.outputs[0].raw_mutable());
    for (int64_t r = 0; r < ids.size(); ++r) {
      const int64_t id = checked_id(ids.data<int32_t>()[r], table.dim(0), node_label(context.view.node));
      const char* from = static_cast<const char*>(table.raw()) + static_cast<size_t>(id) * row_bytes;
      if (row_bytes > 0) std::memcpy(to + static_cast<size_t>(r) * row_bytes, from, row_bytes);
    }
  }

  void gradient(GradientContext& context) const override {
    if (!context.needs[0]) return;
    context.d_inputs[0] =
        context.graph.node("scatter_rows", {context.node.inputs[1], context.d_outputs[0], context.node.inputs[0]}, {},
                           context.node.name + ".d_table");
  }

  // Only the rows that are asked for are read.
  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 0,
            .bytes = bound_bytes(view.input_type(1), bindings) +
                     2 * bound_bytes(view.graph.type(view.node.outputs[0]), bindings)};
  }
};

}  // namespace

const Op& gather_rows_op() {
  static const GatherRows op;
  return op;
}

}  // namespace fettle
