// Gradient of attention. With p the probabilities, m the dropout factors and a = p · m:
// d_v = aᵀ d_out, d_p = m · (d_out vᵀ), d_s = p · (d_p - Σ_j d_p p), d_q = scale · d_s k, d_k = scale · d_sᵀ q.
#include <limits>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

struct Operands {
  std::vector<double> q, k, v, probabilities, d_out;
  std::vector<double> d_q, d_k, d_v;
};

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void add_scaled(const double* x, double factor, double* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

// One query row of one head. `at` is the place of its first key's column, `first` the index of its first probability.
void query_grad(const AttentionShape& shape, Operands& x, int64_t query_at, int64_t keys_at, int64_t length,
                int64_t first) {
  std::vector<double> d_probability(static_cast<size_t>(length));
  double weighted = 0;
  for (int64_t j = 0; j < length; ++j) {
    const int64_t key_at = keys_at + j * shape.width();
    const double probability = x.probabilities[static_cast<size_t>(first + j)];
    const double factor = shape.dropout_factor(first + j);
    add_scaled(&x.d_out[static_cast<size_t>(query_at)], probability * factor, &x.d_v[static_cast<size_t>(key_at)],
               shape.head_dim);
    const double d =
        factor * dot(&x.d_out[static_cast<size_t>(query_at)], &x.v[static_cast<size_t>(key_at)], shape.head_dim);
    d_probability[static_cast<size_t>(j)] = d;
    weighted += d * probability;
  }
  for (int64_t j = 0; j < length; ++j) {
    const int64_t key_at = keys_at + j * shape.width();
    const double probability = x.probabilities[static_cast<size_t>(first + j)];
    const double d_score = shape.scale * probability * (d_probability[static_cast<size_t>(j)] - weighted);
    add_scaled(&x.k[static_cast<size_t>(key_at)], d_score, &x.d_q[static_cast<size_t>(query_at)], shape.head_dim);
    add_scaled(&x.q[static_cast<size_t>(query_at)], d_score, &x.d_k[static_cast<size_t>(key_at)], shape.head_dim);
  }
}

class AttentionGrad final : public Op {
 public:
  std::string_view name() const override { return "attention_grad"; }
  std::vector<std::string_view> symbols() const override { return {kPairsSymbol}; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 6);
    const TensorType& q = check.floats(0, 2);
    for (const size_t i : {1, 2, 5}) {
      check.floats(i, 2);
      check.same_shape(0, i);
    }
    check.indices(3);
    const int64_t n_heads = check.integer("n_heads", 1);
    const int64_t head_dim = check.integer("head_dim", 1);
    check.number("scale", std::numeric_limits<double>::lowest(), std::numeric_limits<double>::infinity());
    check.number_or("dropout", 0, 0, 1);
    check.integer_or("stream", 0, 0);
    const TensorType& probabilities = check.floats(4, 2);
    check.same_dim(probabilities.shape[0], view.graph.find_symbol(kPairsSymbol), "pairs");
    check.same_dim(probabilities.shape[1], Graph::constant_dim(n_heads), "heads");
    const Dim width = q.shape[1];
    const bool fits = width.is_constant() && width.value % n_heads == 0 && width.value / n_heads == head_dim;
    if (!fits) check.fail("the width of q, k and v is not n_heads · head_dim");
    return {q, q, q};
  }

  void reference(EvalContext& context) const override {
    Operands x{.q = load_values(context.inputs[0]),
               .k = load_values(context.inputs[1]),
               .v = load_values(context.inputs[2]),
               .probabilities = load_values(context.inputs[4]),
               .d_out = load_values(context.inputs[5])};
    x.d_q = x.d_k = x.d_v = std::vector<double>(x.q.size());
    const AttentionShape shape = AttentionShape::of(context);
    const auto offsets = checked_offsets(context.inputs[3], context.inputs[0].dim(0), node_label(context.view.node));
    int64_t first = 0;
    for (size_t s = 0; s + 1 < offsets.size(); ++s) {
      const int64_t length = offsets[s + 1] - offsets[s];
      for (int64_t h = 0; h < shape.n_heads; ++h) {
        const int64_t keys_at = offsets[s] * shape.width() + h * shape.head_dim;
        for (int64_t i = 0; i < length; ++i, first += length) {
          query_grad(shape, x, keys_at + i * shape.width(), keys_at, length, first);
        }
      }
    }
    store_values(x.d_q, context.outputs[0]);
    store_values(x.d_k, context.outputs[1]);
    store_values(x.d_v, context.outputs[2]);
  }

  // Four products of 2 · head_dim for each pair and head.
  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    const auto n_heads = static_cast<double>(view.attributes().get_int("n_heads"));
    const auto head_dim = static_cast<double>(view.attributes().get_int("head_dim"));
    return {.flops = attention_flops(view, bindings, n_heads * (8 * head_dim + 6)),
            .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& attention_grad_op() {
  static const AttentionGrad op;
  return op;
}

}  // namespace fettle
