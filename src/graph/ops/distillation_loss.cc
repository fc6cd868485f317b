// T² · KL(softmax(teacher / T) ‖ softmax(student / T)), mean over rows (Hinton et al. 2015). The teacher has no
// gradient.
#include <cmath>
#include <limits>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class DistillationLoss final : public Op {
 public:
  std::string_view name() const override { return "distillation_loss"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& student = check.floats(0, 2);
    check.floats(1, 2);
    check.same_shape(0, 1);
    check.number("temperature", std::numeric_limits<double>::min(), std::numeric_limits<double>::infinity());
    return {{student.dtype, {Graph::constant_dim(1)}}};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> student = load_values(context.inputs[0]);
    const std::vector<double> teacher = load_values(context.inputs[1]);
    const int64_t n_rows = context.inputs[0].dim(0);
    const auto n_classes = static_cast<size_t>(context.inputs[0].dim(1));
    const double temperature = context.view.attributes().get_double("temperature");
    double sum = 0;
    for (size_t begin = 0; begin < student.size(); begin += n_classes) {
      const std::vector<double> log_q = log_softmax_row({student.data() + begin, n_classes}, temperature);
      const std::vector<double> log_p = log_softmax_row({teacher.data() + begin, n_classes}, temperature);
      for (size_t c = 0; c < n_classes; ++c) sum += std::exp(log_p[c]) * (log_p[c] - log_q[c]);
    }
    const double loss = n_rows == 0 ? 0 : temperature * temperature * sum / static_cast<double>(n_rows);
    store_values({&loss, 1}, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    if (!context.needs[0]) return;
    const Node& node = context.node;
    context.d_inputs[0] =
        context.graph.node("distillation_loss_grad", {node.inputs[0], node.inputs[1], context.d_outputs[0]},
                           node.attributes, node.name + ".grad");
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 14 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& distillation_loss_op() {
  static const DistillationLoss op;
  return op;
}

}  // namespace fettle
