// Rank-2 product c = op(a) op(b); with the attribute squares a second output [1] is the sum of c's squares.
#include "base/error.h"
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class Matmul final : public Op {
 public:
  std::string_view name() const override { return "matmul"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& a = check.floats(0, 2);
    const TensorType& b = check.floats(1, 2);
    const bool transpose_a = check.flag("transpose_a", false);
    const bool transpose_b = check.flag("transpose_b", false);
    check.same_dim(a.shape[transpose_a ? 0 : 1], b.shape[transpose_b ? 1 : 0], "inner dimensions");
    const TensorType c = {a.dtype, {a.shape[transpose_a ? 1 : 0], b.shape[transpose_b ? 0 : 1]}};
    if (check.flag("squares", false)) return {c, {a.dtype, {Graph::constant_dim(1)}}};
    return {c};
  }

  void reference(EvalContext& context) const override {
    const MatmulShape shape = {.m = context.outputs[0].dim(0),
                               .n = context.outputs[0].dim(1),
                               .k = context.inputs[0].dim(transposed(context.view, 'a') ? 0 : 1),
                               .transpose_a = transposed(context.view, 'a'),
                               .transpose_b = transposed(context.view, 'b')};
    const std::vector<double> c = matmul_values(load_values(context.inputs[0]), load_values(context.inputs[1]), shape);
    store_values(c, context.outputs[0]);
    if (context.outputs.size() < 2) return;
    double squares = 0;
    for (const double value : c) squares += value * value;
    store_values({&squares, 1}, context.outputs[1]);
  }

  void gradient(GradientContext& context) const override {
    if (context.node.outputs.size() > 1) failed(node_label(context.node), "has no gradient with its squares");
    const bool transpose_a = context.node.attributes.get_bool("transpose_a", false);
    const bool transpose_b = context.node.attributes.get_bool("transpose_b", false);
    const ValueId a = context.node.inputs[0];
    const ValueId b = context.node.inputs[1];
    const ValueId d_c = context.d_outputs[0];
    const auto product = [&](ValueId left, ValueId right, bool transpose_left, bool transpose_right) {
      return context.graph.node("matmul", {left, right},
                                {{"transpose_a", transpose_left}, {"transpose_b", transpose_right}});
    };
    if (context.needs[0]) {
      context.d_inputs[0] = transpose_a ? product(b, d_c, transpose_b, true) : product(d_c, b, false, !transpose_b);
    }
    if (context.needs[1]) {
      context.d_inputs[1] = transpose_b ? product(d_c, a, true, transpose_a) : product(a, d_c, !transpose_a, false);
    }
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const double k = static_cast<double>(bind_shape(view.input_type(0), bindings)[transposed(view, 'a') ? 0 : 1]);
    return {.flops = 2 * k * bound_elements(view.graph.type(view.node.outputs[0]), bindings),
            .bytes = bytes_touched(view, bindings)};
  }

 private:
  static bool transposed(const NodeView& view, char operand) {
    return view.attributes().get_bool(operand == 'a' ? "transpose_a" : "transpose_b", false);
  }
};

}  // namespace

const Op& matmul_op() {
  static const Matmul op;
  return op;
}

}  // namespace fettle
