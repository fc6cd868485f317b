// d_x = d_loss / n_rows · (cos · x / |x|² - y / (|x| |y|)), row by row, with the lengths of cosine_loss.
#include <cmath>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

constexpr double kEps = 1e-12;

class CosineLossGrad final : public Op {
 public:
  std::string_view name() const override { return "cosine_loss_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3);
    const TensorType& student = check.floats(0, 2);
    check.floats(1, 2);
    check.same_shape(0, 1);
    check.scalar(2);
    return {student};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> x = load_values(context.inputs[0]);
    const std::vector<double> y = load_values(context.inputs[1]);
    const auto width = static_cast<size_t>(context.inputs[0].dim(1));
    const double factor = load_value(context.inputs[2], 0) / static_cast<double>(context.inputs[0].dim(0));
    std::vector<double> d_x(x.size());
    for (size_t begin = 0; begin < x.size(); begin += width) {
      double dot = 0;
      double xx = kEps;
      double yy = kEps;
      for (size_t c = begin; c < begin + width; ++c) {
        dot += x[c] * y[c];
        xx += x[c] * x[c];
        yy += y[c] * y[c];
      }
      const double lengths = std::sqrt(xx * yy);
      for (size_t c = begin; c < begin + width; ++c) d_x[c] = factor * (dot / lengths * x[c] / xx - y[c] / lengths);
    }
    store_values(d_x, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 9 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& cosine_loss_grad_op() {
  static const CosineLossGrad op;
  return op;
}

}  // namespace fettle
