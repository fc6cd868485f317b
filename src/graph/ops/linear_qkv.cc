// Linears that share an input, side by side: y = [x W1ᵀ + b1 | x W2ᵀ + b2 | …], row by row. Made by fuse_qkv (queries,
// keys and values) and read_first_tokens_early (keys and values).
#include <algorithm>

#include "base/checked.h"
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class LinearQkv final : public Op {
 public:
  std::string_view name() const override { return "linear_qkv"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3, 4);
    const size_t n_inputs = view.node.inputs.size();
    if (n_inputs % 2 == 0) check.fail("a bias is missing");
    const TensorType& x = check.floats(0, 2);
    int64_t width = 0;
    for (size_t i = 1; i < n_inputs; i += 2) {
      if (!view.has_input(i) || !view.has_input(i + 1)) check.fail("input " + std::to_string(i) + " is missing");
      const TensorType& weight = check.floats(i, 2);
      if (!weight.shape[0].is_constant()) check.fail("a width is not a constant");
      check.same_dim(x.shape[1], weight.shape[1], "widths of x and a weight");
      check.vector_of(i + 1, weight.shape[0]);
      width = checked_add(width, weight.shape[0].value, "linear_qkv");
    }
    return {{x.dtype, {x.shape[0], Graph::constant_dim(width)}}};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> x = load_values(context.inputs[0]);
    const int64_t rows = context.inputs[0].dim(0);
    const int64_t width = context.outputs[0].dim(1);
    std::vector<double> all(static_cast<size_t>(rows * width));
    int64_t column = 0;
    for (size_t i = 1; i < context.inputs.size(); i += 2) {
      const Tensor& weight = context.inputs[i];
      const int64_t n = weight.dim(0);
      const std::vector<double> y = linear_values(x, load_values(weight), load_values(context.inputs[i + 1]),
                                                  {.m = rows, .n = n, .k = weight.dim(1), .transpose_b = true});
      for (int64_t r = 0; r < rows; ++r) std::copy_n(y.begin() + r * n, n, all.begin() + r * width + column);
      column += n;
    }
    store_values(all, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const double rows = static_cast<double>(bind_shape(view.input_type(0), bindings)[0]);
    double weights = 0;
    for (size_t i = 1; i < view.node.inputs.size(); i += 2) weights += bound_elements(view.input_type(i), bindings);
    return {.flops = 2 * rows * weights, .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& linear_qkv_op() {
  static const LinearQkv op;
  return op;
}

}  // namespace fettle
