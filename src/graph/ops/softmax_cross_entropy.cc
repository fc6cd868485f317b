// Mean over the rows with a label of (1 - ε) · (-log p[label]) + ε · mean_c(-log p[c]), p = softmax(logits); ε is
// label_smoothing (Szegedy et al. 2016, as PyTorch). Rows with a negative label do not count; without any other the
// loss is 0. With weights w of the classes (-log p[c]) is multiplied by w[c], and the mean is the sum divided by the
// sum of w[label], as PyTorch's.
#include "base/error.h"
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class SoftmaxCrossEntropy final : public Op {
 public:
  std::string_view name() const override { return "softmax_cross_entropy"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2, 1);
    const TensorType& logits = check.floats(0, 2);
    check.same_dim(logits.shape[0], check.indices(1).shape[0], "rows of logits and labels");
    check.number_or("label_smoothing", 0, 0, 1);
    if (view.has_input(2)) check.vector_of(2, logits.shape[1]);
    return {{logits.dtype, {Graph::constant_dim(1)}}, logits};
  }

  void reference(EvalContext& context) const override {
    const std::vector<double> logits = load_values(context.inputs[0]);
    const int32_t* labels = context.inputs[1].data<int32_t>();
    const int64_t n_classes = context.inputs[0].dim(1);
    const double smoothing = context.view.attributes().get_double("label_smoothing", 0);
    std::vector<double> weights(static_cast<size_t>(n_classes), 1);
    if (context.view.has_input(2)) weights = load_values(context.inputs[2]);
    std::vector<double> log_probabilities;
    double sum = 0;
    double total_weight = 0;
    for (int64_t r = 0; r < context.inputs[0].dim(0); ++r) {
      const std::vector<double> row = log_softmax_row({logits.data() + r * n_classes, static_cast<size_t>(n_classes)});
      log_probabilities.insert(log_probabilities.end(), row.begin(), row.end());
      if (labels[r] < 0) continue;
      const auto label = static_cast<size_t>(checked_id(labels[r], n_classes, node_label(context.view.node)));
      total_weight += weights[label];
      sum -= (1 - smoothing) * weights[label] * row[label];
      for (size_t c = 0; c < row.size(); ++c) sum -= smoothing * weights[c] * row[c] / static_cast<double>(n_classes);
    }
    const double loss = total_weight == 0 ? 0 : sum / total_weight;
    store_values({&loss, 1}, context.outputs[0]);
    store_values(log_probabilities, context.outputs[1]);
  }

  void gradient(GradientContext& context) const override {
    const Node& node = context.node;
    if (context.d_outputs[1] != kNoValue) failed(node_label(node), "has no gradient of the log-probabilities");
    std::vector<ValueId> inputs{node.outputs[1], node.inputs[1], context.d_outputs[0]};
    if (node.inputs.size() > 2) inputs.push_back(node.inputs[2]);
    context.d_inputs[0] =
        context.graph.node("softmax_cross_entropy_grad", inputs, node.attributes, node.name + ".grad");
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 5 * bound_elements(view.input_type(0), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& softmax_cross_entropy_op() {
  static const SoftmaxCrossEntropy op;
  return op;
}

}  // namespace fettle
