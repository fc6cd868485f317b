// Three linears that share an input: qkv = [x Wqᵀ + bq | x Wkᵀ + bk | x Wvᵀ + bv], row by row. Made by fuse_qkv.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class LinearQkv final : public Op {
 public:
  std::string_view name() const override { return "linear_qkv"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 7);
    const TensorType& x = check.floats(0, 2);
    const Dim width = check.floats(1, 2).shape[0];
    if (!width.is_constant()) check.fail("the width is not a constant");
    for (size_t i = 1; i < 7; i += 2) {
      const TensorType& weight = check.floats(i, 2);
      check.same_dim(x.shape[1], weight.shape[1], "widths of x and a weight");
      check.same_dim(width, weight.shape[0], "widths of q, k and v");
      check.vector_of(i + 1, width);
    }
    return {{x.dtype, {x.shape[0], Graph::constant_dim(3 * width.value)}}};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> x = load_values(context.inputs[0]);
    const auto rows = context.inputs[0].dim(0);
    const auto width = context.inputs[1].dim(0);
    std::vector<double> qkv(static_cast<size_t>(rows * 3 * width));
    for (int64_t part = 0; part < 3; ++part) {
      const Tensor& weight = context.inputs[static_cast<size_t>(1 + 2 * part)];
      const std::vector<double> y =
          linear_values(x, load_values(weight), load_values(context.inputs[static_cast<size_t>(2 + 2 * part)]),
                        {.m = rows, .n = width, .k = weight.dim(1), .transpose_b = true});
      for (int64_t i = 0; i < rows * width; ++i) {
        qkv[static_cast<size_t>((i / width) * 3 * width + part * width + i % width)] = y[static_cast<size_t>(i)];
      }
    }
    store_values(qkv, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const double rows = static_cast<double>(bind_shape(view.input_type(0), bindings)[0]);
    return {.flops = 6 * rows * bound_elements(view.input_type(1), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& linear_qkv_op() {
  static const LinearQkv op;
  return op;
}

}  // namespace fettle
