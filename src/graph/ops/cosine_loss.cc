// Mean over rows of 1 - cos(student, teacher), as PyTorch's CosineEmbeddingLoss has it for like pairs: squared lengths
// are taken 1e-12 longer, so that rows of zeros have a loss of 1. The teacher has no gradient (Sanh et al. 2019).
#include <cmath>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

constexpr double kEps = 1e-12;

class CosineLoss final : public Op {
 public:
  std::string_view name() const override { return "cosine_loss"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& student = check.floats(0, 2);
    check.floats(1, 2);
    check.same_shape(0, 1);
    return {{student.dtype, {Graph::constant_dim(1)}}};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> student = load_values(context.inputs[0]);
    const std::vector<double> teacher = load_values(context.inputs[1]);
    const int64_t n_rows = context.inputs[0].dim(0);
    const auto width = static_cast<size_t>(context.inputs[0].dim(1));
    double sum = 0;
    for (size_t begin = 0; begin < student.size(); begin += width) {
      double dot = 0;
      double xx = kEps;
      double yy = kEps;
      for (size_t c = begin; c < begin + width; ++c) {
        dot += student[c] * teacher[c];
        xx += student[c] * student[c];
        yy += teacher[c] * teacher[c];
      }
      sum += 1 - dot / std::sqrt(xx * yy);
    }
    const double loss = n_rows == 0 ? 0 : sum / static_cast<double>(n_rows);
    store_values({&loss, 1}, context.outputs[0]);
  }

  void gradient(GradientContext& context) const override {
    if (!context.needs[0]) return;
    const Node& node = context.node;
    context.d_inputs[0] = context.graph.node("cosine_loss_grad", {node.inputs[0], node.inputs[1], context.d_outputs[0]},
                                             {}, node.name + ".grad");
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 6 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& cosine_loss_op() {
  static const CosineLoss op;
  return op;
}

}  // namespace fettle
