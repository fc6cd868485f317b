// Attention of some queries only, on keys and values of all tokens: what a head needs that reads one row a sequence.
// q [rows, heads · head_dim] are the queries of the tokens `rows`; kv [tokens, 2 · heads · head_dim] has rows [k | v].
// Each query attends within the sequence of its token; no dropout. Made by read_first_tokens_early.
#include <limits>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class AttentionRows final : public Op {
 public:
  std::string_view name() const override { return "attention_rows"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 4);
    const TensorType& q = check.floats(0, 2);
    const TensorType& kv = check.floats(1, 2);
    check.same_dim(q.shape[0], check.indices(2).shape[0], "numbers of queries and rows");
    check.indices(3);
    const int64_t n_heads = check.integer("n_heads", 1);
    const int64_t head_dim = check.integer("head_dim", 1);
    check.number("scale", std::numeric_limits<double>::lowest(), std::numeric_limits<double>::infinity());
    const Dim width = q.shape[1];
    const bool is_heads = width.is_constant() && width.value % n_heads == 0 && width.value / n_heads == head_dim;
    if (!is_heads) check.fail("the width of q is not n_heads · head_dim");
    const Dim both = kv.shape[1];
    if (!both.is_constant() || both.value % 2 != 0 || both.value / 2 != width.value) {
      check.fail("the width of kv is not twice that of q");
    }
    return {q};
  }

  void reference(EvalContext& context) const override {
    const Tensor& kv = context.inputs[1];
    const std::string where = node_label(context.view.node);
    const auto offsets = checked_offsets(context.inputs[3], kv.dim(0), where);
    const std::span<const int32_t> rows{context.inputs[2].data<int32_t>(),
                                        static_cast<size_t>(context.inputs[2].size())};
    for (const int32_t row : rows) checked_id(row, kv.dim(0), where);
    store_values(attention_rows_values(AttentionShape::of(context), load_values(context.inputs[0]), load_values(kv),
                                       rows, offsets),
                 context.outputs[0]);
  }

  // As if each query saw a sequence of mean length.
  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const double width = bound_elements(view.input_type(0), bindings);
    const auto rows = static_cast<double>(bind_shape(view.input_type(0), bindings)[0]);
    const auto tokens = static_cast<double>(bind_shape(view.input_type(1), bindings)[0]);
    const double sequences = bound_elements(view.input_type(3), bindings) - 1;
    const double length = sequences > 0 ? tokens / sequences : 0;
    const auto n_heads = static_cast<double>(view.attributes().get_int("n_heads"));
    return {.flops = length * (4 * width + 5 * rows * n_heads), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& attention_rows_op() {
  static const AttentionRows op;
  return op;
}

}  // namespace fettle
