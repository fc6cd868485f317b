// Gradient of layer_norm. With x̂ = (x - mean) · rstd and g = d_y · gamma:
// d_x = rstd · (g - mean(g) - x̂ · mean(g · x̂)), d_gamma = Σ_r d_y · x̂, d_beta = Σ_r d_y.
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class LayerNormGrad final : public Op {
 public:
  std::string_view name() const override { return "layer_norm_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 5);
    const TensorType& x = check.floats(0, 2);
    check.floats(1, 2);
    check.same_shape(0, 1);
    check.vector_of(2, x.shape[1]);
    check.vector_of(3, x.shape[0]);
    check.vector_of(4, x.shape[0]);
    const TensorType by_column{x.dtype, {x.shape[1]}};
    return {x, by_column, by_column};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> x = load_values(context.inputs[0]);
    const std::vector<double> d_y = load_values(context.inputs[1]);
    const std::vector<double> gamma = load_values(context.inputs[2]);
    const std::vector<double> mean = load_values(context.inputs[3]);
    const std::vector<double> rstd = load_values(context.inputs[4]);
    const size_t width = gamma.size();
    std::vector<double> d_x(x.size());
    std::vector<double> d_gamma(width);
    std::vector<double> d_beta(width);
    for (size_t r = 0; r < mean.size(); ++r) {
      double mean_g = 0;
      double mean_g_normalized = 0;
      for (size_t c = 0; c < width; ++c) {
        const size_t i = r * width + c;
        const double normalized = (x[i] - mean[r]) * rstd[r];
        mean_g += d_y[i] * gamma[c] / static_cast<double>(width);
        mean_g_normalized += d_y[i] * gamma[c] * normalized / static_cast<double>(width);
        d_gamma[c] += d_y[i] * normalized;
        d_beta[c] += d_y[i];
      }
      for (size_t c = 0; c < width; ++c) {
        const size_t i = r * width + c;
        const double normalized = (x[i] - mean[r]) * rstd[r];
        d_x[i] = rstd[r] * (d_y[i] * gamma[c] - mean_g - normalized * mean_g_normalized);
      }
    }
    store_values(d_x, context.outputs[0]);
    store_values(d_gamma, context.outputs[1]);
    store_values(d_beta, context.outputs[2]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 14 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& layer_norm_grad_op() {
  static const LayerNormGrad op;
  return op;
}

}  // namespace fettle
