// y[r, :] = layer_norm(Σ_t table_t[ids_t[r], :]), the tables summed from the first to the last: the embeddings of an
// encoder (Devlin et al. 2019). Made by fuse_embeddings.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

// Inputs: gamma, beta, then a table and its ids for each part of the sum.
constexpr size_t kFirstTable = 2;
constexpr size_t kMaxTables = 8;

class EmbedLayerNorm final : public Op {
 public:
  std::string_view name() const override { return "embed_layer_norm"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, kFirstTable + 2, 2 * (kMaxTables - 1));
    const size_t n_inputs = view.node.inputs.size();
    if (n_inputs % 2 != 0) check.fail("the ids of the last table are missing");
    const TensorType& table = check.floats(kFirstTable, 2);
    const Dim rows = check.indices(kFirstTable + 1).shape[0];
    const Dim width = table.shape[1];
    check.vector_of(0, width);
    check.vector_of(1, width);
    for (size_t i = kFirstTable + 2; i < n_inputs; i += 2) {
      if (!view.has_input(i) || !view.has_input(i + 1)) check.fail("input " + std::to_string(i) + " is missing");
      check.same_dim(width, check.floats(i, 2).shape[1], "widths of tables");
      check.same_dim(rows, check.indices(i + 1).shape[0], "numbers of ids");
    }
    check.number("eps", 0, 1);
    return {{table.dtype, {rows, width}}};
  }

  void reference(EvalContext& context) const override {
    const int64_t rows = context.outputs[0].dim(0);
    const int64_t width = context.outputs[0].dim(1);
    std::vector<double> y(static_cast<size_t>(rows * width));
    for (size_t i = kFirstTable; i < context.inputs.size(); i += 2) {
      const Tensor& table = context.inputs[i];
      for (int64_t r = 0; r < rows; ++r) {
        const int32_t id = context.inputs[i + 1].data<int32_t>()[r];
        const int64_t row = checked_id(id, table.dim(0), node_label(context.view.node));
        for (int64_t c = 0; c < width; ++c) {
          double& sum = y[static_cast<size_t>(r * width + c)];
          const double value = load_value(table, row * width + c);
          sum = i == kFirstTable ? value : sum + value;
        }
      }
    }
    layer_norm_values(y, load_values(context.inputs[0]), load_values(context.inputs[1]),
                      context.view.attributes().get_double("eps"));
    store_values(y, context.outputs[0]);
  }

  // Only the rows that are asked for are read.
  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const TensorType& y = view.graph.type(view.node.outputs[0]);
    const auto n_tables = static_cast<double>((view.node.inputs.size() - kFirstTable) / 2);
    return {.flops = (n_tables - 1 + 8) * bound_elements(y, bindings),
            .bytes = (n_tables + 1) * bound_bytes(y, bindings) + 2 * bound_bytes(view.input_type(0), bindings) +
                     n_tables * bound_bytes(view.input_type(kFirstTable + 1), bindings)};
  }
};

}  // namespace

const Op& embed_layer_norm_op() {
  static const EmbedLayerNorm op;
  return op;
}

}  // namespace fettle
