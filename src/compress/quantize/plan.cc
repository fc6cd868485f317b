#include "compress/quantize/plan.h"

#include <set>

#include "compress/quantize/report.h"
#include "graph/op.h"
#include "tensor/sparse.h"

namespace fettle {

namespace {

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
  const Dim batch = classifier ? graph.type(graph.find("first_tokens")).shape[0] : Dim{};
  for (const Node& node : graph.nodes()) {
    if (node.inputs.size() < 2 || node.inputs[0] == kNoValue || node.inputs[1] == kNoValue) continue;
    const Value& first = graph.value(node.inputs[0]);
    const Value& second = graph.value(node.inputs[1]);
    if (node.op->name() == "linear" && second.kind == ValueKind::kParameter) {
      uses.linear.insert(second.name);
      if (classifier && first.type.shape[0] == batch) uses.head.insert(second.name);
    }
    if (node.op->name() == "gather_rows" && first.kind == ValueKind::kParameter) uses.embedding.insert(first.name);
  }
  return uses;
}

// From this share of zeros on they are looked at: fewer never pay for saying where the others are.
constexpr double kManyZeros = 0.3;

bool has_many_zeros(const EncodedTensor& stored) {
  const double n_numbers = static_cast<double>(element_count(stored.shape));
  return static_cast<double>(count_nonzeros(stored)) <= (1 - kManyZeros) * n_numbers;
}

// Zeros stay zeros: int8 without them may have fewer bytes than 4 bits with them.
EncodedTensor encode_weights(const EncodedTensor& stored, const Tensor& values, const Encoding& encoding) {
  EncodedTensor encoded = encode(values, encoding);
  if (!has_many_zeros(stored)) return encoded;
  EncodedTensor sparse = to_smallest(encode(values, Encoding::int8_channel()));
  return sparse.size_bytes() < encoded.size_bytes() ? sparse : encoded;
}

}  // namespace

QuantizePlan make_plan(const Model& model, const QuantizeOptions& options) {
  const Uses uses = find_uses(model);
  QuantizePlan plan;
  for (const std::string& name : model.parameters.names()) {
    const bool embedding = uses.embedding.count(name) > 0;
    const bool linear = uses.linear.count(name) > 0;
    if (!(linear && !embedding) && !(embedding && options.embeddings)) continue;
    const bool head = uses.head.count(name) > 0;
    if (!options.head && head) continue;
    if (numbers_of(model.parameters.get(name).encoding).kind != EncodingKind::kDense) continue;
    const bool int4 = options.bits == 4 && !embedding && !head;
    plan[name] = int4 ? Encoding::int4_group(options.group_size, options.input_bits) : Encoding::int8_channel();
  }
  return plan;
}

QuantizeReport apply_plan(Model& model, const QuantizePlan& plan) {
  QuantizeReport report;
  report.size_mb_before = parameters_mb(model);
  for (const std::string& name : std::vector<std::string>(model.parameters.names())) {
    const auto planned = plan.find(name);
    if (planned == plan.end()) continue;
    const EncodedTensor& stored = model.parameters.get(name);
    const Tensor original = stored.decode();
    EncodedTensor encoded = encode_weights(stored, original, planned->second);
    report.layers.push_back(compare_encoding(name, original, encoded));
    model.parameters.set(name, std::move(encoded));
  }
  finish_report(model, report);
  return report;
}

}  // namespace fettle
