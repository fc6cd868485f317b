// Gradient of relation_loss to the student's a and b. With D = relation of the student - relation of the teacher and
// f = d_loss / (tokens · n_heads · √head_dim): d_a = f · D b, d_b = f · Dᵀ a, head by head in each sequence.
#include <cmath>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class RelationLossGrad final : public Op {
 public:
  std::string_view name() const override { return "relation_loss_grad"; }
  std::vector<std::string_view> symbols() const override { return {kPairsSymbol}; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 5);
    const TensorType& a = check.floats(0, 2);
    check.floats(1, 2);
    check.same_shape(0, 1);
    const TensorType& difference = check.floats(2, 2);
    check.scalar(3);
    check.indices(4);
    const int64_t n_heads = check.integer("n_heads", 1);
    check.same_dim(difference.shape[0], view.graph.find_symbol(kPairsSymbol), "pairs");
    check.same_dim(difference.shape[1], Graph::constant_dim(n_heads), "heads");
    const Dim width = a.shape[1];
    if (!width.is_constant() || width.value < n_heads || width.value % n_heads != 0) {
      check.fail("n_heads does not divide the width");
    }
    return {a, a};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> a = load_values(context.inputs[0]);
    const std::vector<double> b = load_values(context.inputs[1]);
    const std::vector<double> difference = load_values(context.inputs[2]);
    const int64_t n_tokens = context.inputs[0].dim(0);
    const int64_t width = context.inputs[0].dim(1);
    const int64_t n_heads = context.view.attributes().get_int("n_heads");
    const int64_t head_dim = width / n_heads;
    const auto offsets = checked_offsets(context.inputs[4], n_tokens, node_label(context.view.node));
    const double factor = load_value(context.inputs[3], 0) /
                          (static_cast<double>(n_tokens * n_heads) * std::sqrt(static_cast<double>(head_dim)));
    std::vector<double> d_a(a.size());
    std::vector<double> d_b(b.size());
    size_t pair = 0;
    for (size_t s = 0; s + 1 < offsets.size(); ++s) {
      for (int64_t h = 0; h < n_heads; ++h) {
        for (int64_t i = offsets[s]; i < offsets[s + 1]; ++i) {
          for (int64_t j = offsets[s]; j < offsets[s + 1]; ++j) {
            const double d = factor * difference[pair++];
            for (int64_t c = h * head_dim; c < (h + 1) * head_dim; ++c) {
              d_a[static_cast<size_t>(i * width + c)] += d * b[static_cast<size_t>(j * width + c)];
              d_b[static_cast<size_t>(j * width + c)] += d * a[static_cast<size_t>(i * width + c)];
            }
          }
        }
      }
    }
    store_values(d_a, context.outputs[0]);
    store_values(d_b, context.outputs[1]);
  }

  // Two products of 2 · head_dim for each pair and head.
  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const auto width = static_cast<double>(view.input_type(0).shape[1].value);
    const auto n_heads = static_cast<double>(view.attributes().get_int("n_heads"));
    return {.flops = attention_flops(view, bindings, 4 * width + n_heads), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& relation_loss_grad_op() {
  static const RelationLossGrad op;
  return op;
}

}  // namespace fettle
