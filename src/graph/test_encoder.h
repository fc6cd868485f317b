// For tests: a small encoder classifier built of ops, in f64 so that its gradients can be checked, with its values.
#pragma once

#include <string>

#include "graph/ops/gradient_check.h"

namespace fettle {

struct TestEncoder : TestGraph {
  static constexpr int64_t kWidth = 4;
  static constexpr int64_t kIntermediate = 6;

  struct Options {
    double dropout = 0;  // 0 leaves the nodes out
    bool keep_probabilities = false;
    int64_t n_layers = 2;
  };

  explicit TestEncoder(const Options& options, uint64_t seed = 1) : TestGraph(seed), options_(options) {
    ids = indices("token_ids", {3, 1, 4, 1, 5, 2});
    offsets = indices("offsets", {0, 2, 6});
    const ValueId first_tokens = indices("first_tokens", {0, 2});
    ValueId x = graph.node("gather_rows", {weight("embeddings", {7, kWidth}), ids});
    x = dropout(norm("embeddings.norm", x));
    for (int64_t i = 0; i < options.n_layers; ++i) x = layer("layer." + std::to_string(i), x);
    const ValueId first = graph.node("gather_rows", {x, first_tokens});
    const ValueId pooled = graph.node("activate", {linear("pooler", first, kWidth, kWidth)}, {{"kind", "tanh"}});
    logits = linear("classifier", dropout(pooled), kWidth, 3);
  }

  ValueId ids;
  ValueId offsets;
  ValueId logits;
  std::vector<ValueId> weights;

 private:
  ValueId weight(const std::string& name, const Shape& shape) {
    weights.push_back(random(name, shape, 0.5));
    return weights.back();
  }
  ValueId linear(const std::string& name, ValueId x, int64_t in, int64_t out) {
    return graph.node("linear", {x, weight(name + ".weight", {out, in}), weight(name + ".bias", {out})}, {}, name);
  }
  ValueId norm(const std::string& name, ValueId x) {
    return graph.node("layer_norm", {x, weight(name + ".gamma", {kWidth}), weight(name + ".beta", {kWidth})},
                      {{"eps", 1e-6}}, name);
  }
  ValueId dropout(ValueId x) {
    if (options_.dropout == 0) return x;
    return graph.node("dropout", {x}, {{"p", options_.dropout}, {"stream", stream_++}});
  }
  ValueId attention(const std::string& name, ValueId x) {
    const ValueId q = linear(name + ".query", x, kWidth, kWidth);
    const ValueId k = linear(name + ".key", x, kWidth, kWidth);
    const ValueId v = linear(name + ".value", x, kWidth, kWidth);
    const Attributes attributes{{"n_heads", int64_t{2}},       {"head_dim", kWidth / 2},
                                {"scale", 1 / std::sqrt(2.0)}, {"dropout", options_.dropout},
                                {"stream", stream_++},         {"keep_probabilities", options_.keep_probabilities}};
    return graph.node("attention", {q, k, v, offsets}, attributes, name);
  }
  ValueId layer(const std::string& name, ValueId x) {
    const ValueId attended = linear(name + ".attention.output", attention(name + ".attention", x), kWidth, kWidth);
    x = norm(name + ".attention.norm", graph.node("add", {dropout(attended), x}));
    const ValueId hidden =
        graph.node("activate", {linear(name + ".intermediate", x, kWidth, kIntermediate)}, {{"kind", "gelu"}});
    const ValueId output = dropout(linear(name + ".output", hidden, kIntermediate, kWidth));
    return norm(name + ".norm", graph.node("add", {output, x}));
  }

  Options options_;
  int64_t stream_ = 0;
};

}  // namespace fettle
