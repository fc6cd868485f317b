// Ragged self-attention (Vaswani et al. 2017), head by head within each sequence: out = dropout(softmax(scale · q kᵀ))
// v. The symbol `pairs` of the probabilities' shape is Σ length²; whoever runs the graph binds it from the offsets.
#include <limits>

#include "base/error.h"
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class Attention final : public Op {
 public:
  std::string_view name() const override { return "attention"; }
  std::vector<std::string_view> symbols() const override { return {kPairsSymbol}; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 4);
    const TensorType& q = check.floats(0, 2);
    for (size_t i = 1; i < 3; ++i) {
      check.floats(i, 2);
      check.same_shape(0, i);
    }
    check.indices(3);
    const int64_t n_heads = check.integer("n_heads", 1);
    const int64_t head_dim = check.integer("head_dim", 1);
    check.number("scale", std::numeric_limits<double>::lowest(), std::numeric_limits<double>::infinity());
    check.number_or("dropout", 0, 0, 1);
    check.integer_or("stream", 0, 0);
    if (q.shape[1].is_constant() && q.shape[1].value / n_heads == head_dim && q.shape[1].value % n_heads == 0) {
      if (!check.flag("keep_probabilities", false)) return {q};
      return {q, {q.dtype, {view.graph.find_symbol(kPairsSymbol), Graph::constant_dim(n_heads)}}};
    }
    check.fail("the width of q, k and v is not n_heads · head_dim");
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> q = load_values(context.inputs[0]);
    const std::vector<double> k = load_values(context.inputs[1]);
    const std::vector<double> v = load_values(context.inputs[2]);
    const AttentionShape shape = AttentionShape::of(context);
    const auto offsets = checked_offsets(context.inputs[3], context.inputs[0].dim(0), node_label(context.view.node));
    const AttentionResult result = attention_values(shape, {q.data(), k.data(), v.data(), shape.width(), offsets});
    store_values(result.out, context.outputs[0]);
    if (context.outputs.size() > 1) store_values(result.probabilities, context.outputs[1]);
  }

  void gradient(GradientContext& context) const override {
    const Node& node = context.node;
    if (node.outputs.size() < 2) failed(node_label(node), "has no gradient without keep_probabilities");
    if (context.d_outputs[1] != kNoValue) failed(node_label(node), "has no gradient of the probabilities");
    Attributes attributes{{"n_heads", node.attributes.get_int("n_heads")},
                          {"head_dim", node.attributes.get_int("head_dim")},
                          {"scale", node.attributes.get_double("scale")},
                          {"dropout", node.attributes.get_double("dropout", 0)},
                          {"stream", node.attributes.get_int("stream", 0)}};
    const std::vector<ValueId> d = context.graph.add_nodes(
        "attention_grad",
        {node.inputs[0], node.inputs[1], node.inputs[2], node.inputs[3], node.outputs[1], context.d_outputs[0]},
        std::move(attributes), node.name + ".grad");
    for (size_t i = 0; i < 3; ++i) context.d_inputs[i] = d[i];
  }

  // Two products of 2 · head_dim and a softmax of about 5 operations for each pair and head.
  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const auto n_heads = static_cast<double>(view.attributes().get_int("n_heads"));
    const auto head_dim = static_cast<double>(view.attributes().get_int("head_dim"));
    return {.flops = attention_flops(view, bindings, n_heads * (4 * head_dim + 5)),
            .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& attention_op() {
  static const Attention op;
  return op;
}

}  // namespace fettle
