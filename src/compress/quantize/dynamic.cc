#include "compress/quantize/dynamic.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "graph/op.h"

namespace fettle {

namespace {

constexpr double kMiB = 1024.0 * 1024.0;

// What a parameter is used for, read off the graph.
struct Uses {
  std::set<std::string> linear;     // weight of a linear
  std::set<std::string> embedding;  // table of a look-up
  std::set<std::string> head;       // weight of a linear behind the encoder
};

Uses find_uses(const Model& model) {
  Uses uses;
  const bool classifier = model.config.n_labels() > 0;
  GraphOptions options;
  options.head = classifier ? GraphOptions::Head::kClassifier : GraphOptions::Head::kHidden;
  const Graph graph = build_graph(model.config, options);
  const Dim batch = graph.type(graph.find("first_tokens")).shape[0];
  for (const Node& node : graph.nodes()) {
    if (node.inputs.size() < 2 || node.inputs[0] == kNoValue || node.inputs[1] == kNoValue) continue;
    const Value& first = graph.value(node.inputs[0]);
    const Value& second = graph.value(node.inputs[1]);
    if (node.op->name() == "linear" && second.kind == ValueKind::kParameter) {
      uses.linear.insert(second.name);
      if (!first.type.shape.empty() && first.type.shape[0] == batch) uses.head.insert(second.name);
    }
    if (node.op->name() == "gather_rows" && first.kind == ValueKind::kParameter) uses.embedding.insert(first.name);
  }
  return uses;
}

LayerQuantization compare(const std::string& name, const Tensor& original, const EncodedTensor& encoded) {
  LayerQuantization layer{name, encoding_name(encoded.encoding), encoded.shape, 0, 1};
  const Tensor decoded = encoded.decode();
  double error = 0;
  double dot = 0;
  double norm_a = 0;
  double norm_b = 0;
  for (int64_t i = 0; i < original.size(); ++i) {
    const double a = original.data<float>()[i];
    const double b = decoded.data<float>()[i];
    error += (a - b) * (a - b);
    dot += a * b;
    norm_a += a * a;
    norm_b += b * b;
  }
  layer.rmse = std::sqrt(error / static_cast<double>(std::max<int64_t>(1, original.size())));
  if (norm_a > 0 && norm_b > 0) layer.cosine = dot / std::sqrt(norm_a * norm_b);
  return layer;
}

}  // namespace

QuantizeReport quantize_dynamic(Model& model, const QuantizeOptions& options) {
  const Uses uses = find_uses(model);
  QuantizeReport report;
  report.size_mb_before = static_cast<double>(model.parameters.size_bytes()) / kMiB;
  for (const std::string& name : model.parameters.names()) {
    const bool embedding = uses.embedding.count(name) > 0;
    const bool linear = uses.linear.count(name) > 0;
    if (!(linear && !embedding) && !(embedding && options.embeddings)) continue;
    if (!options.head && uses.head.count(name) > 0) continue;
    const EncodedTensor& stored = model.parameters.get(name);
    if (stored.encoding.kind != EncodingKind::kDense) continue;
    const Tensor original = stored.decode();
    EncodedTensor encoded = encode(original, Encoding::int8_channel());
    report.layers.push_back(compare(name, original, encoded));
    model.parameters.set(name, std::move(encoded));
  }
  const auto size_bytes = static_cast<double>(model.parameters.size_bytes());
  report.size_mb = size_bytes / kMiB;
  report.bits_per_weight =
      size_bytes * 8 / static_cast<double>(std::max<int64_t>(1, model.parameters.parameter_count()));
  return report;
}

}  // namespace fettle
