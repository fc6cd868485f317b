// KL(teacher ‖ student) of the relations between the tokens of a sequence (MiniLM, Wang et al. 2020; MiniLMv2, 2021),
// mean over tokens and relation heads. A relation is softmax(a bᵀ / √(width / n_heads)), head by head: of queries and
// keys it is attention, of values with themselves MiniLM's value relation. Student and teacher may have other widths.
#include <cmath>

#include "base/error.h"
#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

struct Side {
  std::vector<double> a;
  std::vector<double> b;
  int64_t width = 0;
  int64_t head_dim = 0;

  Side(const Tensor& a_in, const Tensor& b_in, int64_t n_heads)
      : a(load_values(a_in)), b(load_values(b_in)), width(a_in.dim(1)), head_dim(a_in.dim(1) / n_heads) {}

  // Log of the relation of token `query` to the tokens [begin, end).
  std::vector<double> row(int64_t query, int64_t begin, int64_t end, int64_t head) const {
    std::vector<double> scores;
    for (int64_t key = begin; key < end; ++key) {
      double score = 0;
      for (int64_t c = head * head_dim; c < (head + 1) * head_dim; ++c) {
        score += a[static_cast<size_t>(query * width + c)] * b[static_cast<size_t>(key * width + c)];
      }
      scores.push_back(score / std::sqrt(static_cast<double>(head_dim)));
    }
    return log_softmax_row(scores);
  }
};

class RelationLoss final : public Op {
 public:
  std::string_view name() const override { return "relation_loss"; }
  std::vector<std::string_view> symbols() const override { return {kPairsSymbol}; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 5);
    const TensorType& student = check.floats(0, 2);
    const TensorType& teacher = check.floats(2, 2);
    check.floats(1, 2);
    check.floats(3, 2);
    check.same_shape(0, 1);
    check.same_shape(2, 3);
    check.same_dim(student.shape[0], teacher.shape[0], "tokens");
    check.indices(4);
    const int64_t n_heads = check.integer("n_heads", 1);
    for (const Dim& width : {student.shape[1], teacher.shape[1]}) {
      if (!width.is_constant() || width.value < n_heads || width.value % n_heads != 0) {
        check.fail("n_heads does not divide the widths of student and teacher");
      }
    }
    return {{student.dtype, {Graph::constant_dim(1)}},
            {student.dtype, {view.graph.find_symbol(kPairsSymbol), Graph::constant_dim(n_heads)}}};
  }

  void reference(EvalContext& context) const override {
    const int64_t n_heads = context.view.attributes().get_int("n_heads");
    const Side student(context.inputs[0], context.inputs[1], n_heads);
    const Side teacher(context.inputs[2], context.inputs[3], n_heads);
    const int64_t n_tokens = context.inputs[0].dim(0);
    const auto offsets = checked_offsets(context.inputs[4], n_tokens, node_label(context.view.node));
    double sum = 0;
    std::vector<double> difference;
    for (size_t s = 0; s + 1 < offsets.size(); ++s) {
      for (int64_t h = 0; h < n_heads; ++h) {
        for (int64_t i = offsets[s]; i < offsets[s + 1]; ++i) {
          const std::vector<double> log_q = student.row(i, offsets[s], offsets[s + 1], h);
          const std::vector<double> log_p = teacher.row(i, offsets[s], offsets[s + 1], h);
          for (size_t j = 0; j < log_q.size(); ++j) {
            sum += std::exp(log_p[j]) * (log_p[j] - log_q[j]);
            difference.push_back(std::exp(log_q[j]) - std::exp(log_p[j]));
          }
        }
      }
    }
    const double loss = n_tokens == 0 ? 0 : sum / static_cast<double>(n_tokens * n_heads);
    store_values({&loss, 1}, context.outputs[0]);
    store_values(difference, context.outputs[1]);
  }

  void gradient(GradientContext& context) const override {
    const Node& node = context.node;
    if (context.d_outputs[1] != kNoValue) failed(node_label(node), "has no gradient of the difference");
    if (context.d_outputs[0] == kNoValue) return;
    if (!context.needs[0] && !context.needs[1]) return;
    const std::vector<ValueId> d = context.graph.add_nodes(
        "relation_loss_grad", {node.inputs[0], node.inputs[1], node.outputs[1], context.d_outputs[0], node.inputs[4]},
        node.attributes, node.name + ".grad");
    context.d_inputs[0] = d[0];
    context.d_inputs[1] = d[1];
  }

  // A product of 2 · head_dim and a softmax of about 8 operations for each pair and head, on both sides.
  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const auto n_heads = static_cast<double>(view.attributes().get_int("n_heads"));
    const double widths = static_cast<double>(view.input_type(0).shape[1].value + view.input_type(2).shape[1].value);
    return {.flops = attention_flops(view, bindings, 2 * widths + 16 * n_heads),
            .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& relation_loss_op() {
  static const RelationLoss op;
  return op;
}

}  // namespace fettle
