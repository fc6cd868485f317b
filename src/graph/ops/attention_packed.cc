// Attention on the rows [q | k | v] that linear_qkv writes; no dropout. Made by fuse_qkv.
#include <limits>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class AttentionPacked final : public Op {
 public:
  std::string_view name() const override { return "attention_packed"; }
  std::vector<std::string_view> symbols() const override { return {kPairsSymbol}; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& qkv = check.floats(0, 2);
    check.indices(1);
    const int64_t n_heads = check.integer("n_heads", 1);
    const int64_t head_dim = check.integer("head_dim", 1);
    check.number("scale", std::numeric_limits<double>::lowest(), std::numeric_limits<double>::infinity());
    const Dim width = qkv.shape[1];
    const bool fits = width.is_constant() && width.value % 3 == 0 && width.value / 3 % n_heads == 0 &&
                      width.value / 3 / n_heads == head_dim;
    if (!fits) check.fail("the width of qkv is not 3 · n_heads · head_dim");
    return {{qkv.dtype, {qkv.shape[0], Graph::constant_dim(n_heads * head_dim)}}};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> qkv = load_values(context.inputs[0]);
    const AttentionShape shape = AttentionShape::of(context);
    const auto offsets = checked_offsets(context.inputs[1], context.inputs[0].dim(0), node_label(context.view.node));
    const double* q = qkv.data();
    const int64_t width = shape.width();
    store_values(attention_values(shape, {q, q + width, q + 2 * width, 3 * width, offsets}).out, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const auto n_heads = static_cast<double>(view.attributes().get_int("n_heads"));
    const auto head_dim = static_cast<double>(view.attributes().get_int("head_dim"));
    return {.flops = attention_flops(view, bindings, n_heads * (4 * head_dim + 5)),
            .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& attention_packed_op() {
  static const AttentionPacked op;
  return op;
}

}  // namespace fettle
