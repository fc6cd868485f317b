// y[r, c] = exp(x[r, c]) / Σ_j exp(x[r, j]).
#include <cmath>
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class Softmax final : public Op {
 public:
  std::string_view name() const override { return "softmax"; }

  std::vector<TensorType> infer(const NodeView& view) const override { return {TypeCheck(view, 1).floats(0, 2)}; }

  void reference(EvalContext& context) const override {
    const std::vector<double> x = load_values(context.inputs[0]);
    const auto width = static_cast<size_t>(context.inputs[0].dim(1));
    std::vector<double> y;
    for (size_t begin = 0; begin < x.size(); begin += width) {
      for (const double value : log_softmax_row({x.data() + begin, width})) y.push_back(std::exp(value));
    }
    store_values(y, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 5 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& softmax_op() {
  static const Softmax op;
  return op;
}

}  // namespace fettle
