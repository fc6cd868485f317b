#include "compress/quantize/plan.h"

#include <fmt/format.h>

#include <set>

#include "base/error.h"
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

constexpr int kGroupBelow8Bits = 32;

int group_size_of(const QuantizeOptions& options, int bits) {
  if (options.group_size != QuantizeOptions::kDefaultGroup) return options.group_size;
  return bits == 8 ? 0 : kGroupBelow8Bits;
}

Encoding grouped(const QuantizeOptions& options, int bits) {
  return {.kind = EncodingKind::kIntGroup,
          .bits = bits,
          .group_size = group_size_of(options, bits),
          .asymmetric = options.asymmetric,
          .input_bits = options.input_bits};
}

Encoding head_encoding(const QuantizeOptions& options) {
  return options.head_bits == 8 ? Encoding::int8_channel() : grouped(options, options.head_bits);
}

Encoding table_encoding(const QuantizeOptions& options) {
  if (options.embedding_bits == 8) return Encoding::int8_channel();
  Encoding encoding = grouped(options, options.embedding_bits);
  encoding.input_bits = 16;  // ids; what a file of it is read as
  return encoding;
}

// Zeros stay zeros: int8 without them may have fewer bytes than 4 bits with them.
EncodedTensor encode_weights(const EncodedTensor& stored, const Tensor& values, const Encoding& encoding) {
  EncodedTensor encoded = encode(values, encoding);
  if (!has_many_zeros(stored)) return encoded;
  Encoding int8 = Encoding::int8_channel();
  int8.input_bits = encoding.input_bits;
  int8.static_input = encoding.static_input;
  EncodedTensor sparse = to_smallest(encode(values, int8));
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
    plan[name] = embedding ? table_encoding(options)
                 : head    ? head_encoding(options)
                           : linear_encoding(options, options.bits);
  }
  return plan;
}

Encoding linear_encoding(const QuantizeOptions& options, int bits) {
  const bool is_channel = bits == 8 && group_size_of(options, bits) == 0 && !options.asymmetric;
  if (!is_channel) return grouped(options, bits);
  Encoding encoding = Encoding::int8_channel();
  encoding.input_bits = options.input_bits;
  encoding.per_tensor = options.per_tensor;
  return encoding;
}

void require_whole_groups(const Model& model, const QuantizePlan& plan) {
  for (const auto& [name, encoding] : plan) {
    const int64_t n_columns = model.parameters.get(name).shape.back();
    if (encoding.group_size == 0 || n_columns % encoding.group_size == 0) continue;
    bad_input(name, fmt::format("groups of {} do not divide its {} inputs", encoding.group_size, n_columns),
              "--group channel");
  }
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
