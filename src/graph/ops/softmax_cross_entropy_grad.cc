// d_logits[r, c] = d_loss · (p[r, c] · Σ_k t[r, k] - t[r, c]) / Σ_r w[label r], where t[r, c] = w[c] · ((1 - ε) ·
// [c = label] + ε / n_classes) is the target of the row; 0 for rows without a label. w, the weights of the classes, is
// 1 where it is absent.
#include <cmath>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class SoftmaxCrossEntropyGrad final : public Op {
 public:
  std::string_view name() const override { return "softmax_cross_entropy_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3, 1);
    const TensorType& log_probabilities = check.floats(0, 2);
    check.same_dim(log_probabilities.shape[0], check.indices(1).shape[0], "rows of log_probabilities and labels");
    check.scalar(2);
    check.number_or("label_smoothing", 0, 0, 1);
    if (view.has_input(3)) check.vector_of(3, log_probabilities.shape[1]);
    return {log_probabilities};
  }

  void reference(EvalContext& context) const override {
    std::vector<double> d = load_values(context.inputs[0]);
    const int32_t* labels = context.inputs[1].data<int32_t>();
    const int64_t n_rows = context.inputs[0].dim(0);
    const int64_t n_classes = context.inputs[0].dim(1);
    const double d_loss = load_value(context.inputs[2], 0);
    const double smoothing = context.view.attributes().get_double("label_smoothing", 0);
    std::vector<double> weights(static_cast<size_t>(n_classes), 1);
    if (context.view.has_input(3)) weights = load_values(context.inputs[3]);
    double total_weight = 0;
    double sum_of_weights = 0;
    for (const double weight : weights) sum_of_weights += weight;
    for (int64_t r = 0; r < n_rows; ++r) {
      if (labels[r] < 0) continue;
      total_weight += weights[static_cast<size_t>(checked_id(labels[r], n_classes, node_label(context.view.node)))];
    }
    const double everywhere = smoothing / static_cast<double>(n_classes);
    for (int64_t r = 0; r < n_rows; ++r) {
      const bool counts = labels[r] >= 0 && total_weight > 0;
      const double at_label = counts ? (1 - smoothing) * weights[static_cast<size_t>(labels[r])] : 0;
      const double row_target = at_label + everywhere * sum_of_weights;
      for (int64_t c = 0; c < n_classes; ++c) {
        double& value = d[static_cast<size_t>(r * n_classes + c)];
        const double target = (c == labels[r] ? at_label : 0) + everywhere * weights[static_cast<size_t>(c)];
        value = counts ? d_loss * (std::exp(value) * row_target - target) / total_weight : 0;
      }
    }
    store_values(d, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 3 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& softmax_cross_entropy_grad_op() {
  static const SoftmaxCrossEntropyGrad op;
  return op;
}

}  // namespace fettle
