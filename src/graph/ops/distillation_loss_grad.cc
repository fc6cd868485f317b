// d_student = d_loss · T · (softmax(student / T) - softmax(teacher / T)) / n_rows.
#include <cmath>
#include <limits>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class DistillationLossGrad final : public Op {
 public:
  std::string_view name() const override { return "distillation_loss_grad"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 3);
    const TensorType& student = check.floats(0, 2);
    check.floats(1, 2);
    check.same_shape(0, 1);
    check.scalar(2);
    check.number("temperature", std::numeric_limits<double>::min(), std::numeric_limits<double>::infinity());
    return {student};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> student = load_values(context.inputs[0]);
    const std::vector<double> teacher = load_values(context.inputs[1]);
    const auto n_rows = static_cast<double>(context.inputs[0].dim(0));
    const auto n_classes = static_cast<size_t>(context.inputs[0].dim(1));
    const double temperature = context.view.attributes().get_double("temperature");
    const double factor = load_value(context.inputs[2], 0) * temperature / n_rows;
    std::vector<double> d_student;
    for (size_t begin = 0; begin < student.size(); begin += n_classes) {
      const std::vector<double> log_q = log_softmax_row({student.data() + begin, n_classes}, temperature);
      const std::vector<double> log_p = log_softmax_row({teacher.data() + begin, n_classes}, temperature);
      for (size_t c = 0; c < n_classes; ++c) d_student.push_back(factor * (std::exp(log_q[c]) - std::exp(log_p[c])));
    }
    store_values(d_student, context.outputs[0]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 12 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& distillation_loss_grad_op() {
  static const DistillationLossGrad op;
  return op;
}

}  // namespace fettle
