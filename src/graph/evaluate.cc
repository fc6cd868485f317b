#include "graph/evaluate.h"

#include "base/checked.h"
#include "base/error.h"
#include "graph/infer.h"
#include "graph/op.h"

namespace fettle {
namespace {

const Tensor& named_tensor(const std::map<std::string, Tensor>& tensors, const Value& value) {
  const auto found = tensors.find(value.name);
  if (found == tensors.end() || !found->second.defined()) failed("graph", "'" + value.name + "' is missing");
  if (found->second.dtype() != value.type.dtype) {
    failed("'" + value.name + "'", "is " + std::string(dtype_name(found->second.dtype())) + ", not " +
                                       std::string(dtype_name(value.type.dtype)));
  }
  return found->second;
}

// The offsets are the only i32 input of the ops that have the symbol.
void bind_pairs(const Graph& graph, const Node& node, const std::vector<Tensor>& values, SymbolBindings& bindings) {
  if (node.op->symbols().empty()) return;
  for (const ValueId input : node.inputs) {
    if (input == kNoValue || graph.type(input).dtype != DType::kI32) continue;
    const Tensor& offsets = values[static_cast<size_t>(input)];
    const int64_t pairs = count_pairs({offsets.data<int32_t>(), static_cast<size_t>(offsets.size())});
    int64_t& bound = bindings[static_cast<size_t>(graph.find_symbol(kPairsSymbol).symbol)];
    if (bound >= 0 && bound != pairs) failed(node_label(node), "another batch than the first attention's");
    bound = pairs;
  }
}

void run_node(const Graph& graph, const Node& node, const SymbolBindings& bindings, std::vector<Tensor>& values,
              uint64_t seed) {
  std::vector<Tensor> inputs;
  for (const ValueId input : node.inputs) {
    inputs.push_back(input == kNoValue ? Tensor() : values[static_cast<size_t>(input)]);
  }
  std::vector<Tensor> outputs;
  for (const ValueId output : node.outputs) {
    const TensorType& type = graph.type(output);
    outputs.emplace_back(type.dtype, bind_shape(type, bindings));
  }
  EvalContext context{{graph, node}, inputs, outputs, seed};
  node.op->reference(context);
  for (size_t i = 0; i < outputs.size(); ++i) values[static_cast<size_t>(node.outputs[i])] = outputs[i];
}

}  // namespace

void bind_input(const Graph& graph, ValueId input, const Shape& shape, SymbolBindings& bindings) {
  const Value& value = graph.value(input);
  const std::string where = "input '" + value.name + "'";
  const auto mismatch = [&] {
    failed(where, "is " + shape_to_string(shape) + ", not " + type_to_string(graph, value.type));
  };
  if (shape.size() != value.type.shape.size()) mismatch();
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const Dim dim = value.type.shape[axis];
    const int64_t size = shape[axis] - dim.value;
    if (dim.is_constant()) {
      if (size != 0) mismatch();
      continue;
    }
    int64_t& bound = bindings[static_cast<size_t>(dim.symbol)];
    if (size < 0) mismatch();
    if (bound >= 0 && bound != size) {
      failed(where, "has " + graph.symbols()[static_cast<size_t>(dim.symbol)] + " = " + std::to_string(size) +
                        ", another input has " + std::to_string(bound));
    }
    bound = size;
  }
}

int64_t count_pairs(std::span<const int32_t> offsets) {
  int64_t pairs = 0;
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const int64_t length = int64_t{offsets[i + 1]} - offsets[i];
    if (length < 0) bad_input("offsets", "fall at sequence " + std::to_string(i));
    pairs = checked_add(pairs, checked_mul(length, length, "offsets"), "offsets");
  }
  return pairs;
}

std::map<std::string, Tensor> evaluate_reference(const Graph& graph, const std::map<std::string, Tensor>& inputs,
                                                 const std::map<std::string, Tensor>& parameters, uint64_t seed) {
  std::vector<Tensor> values(graph.values().size());
  SymbolBindings bindings(graph.symbols().size(), -1);
  for (size_t i = 0; i < values.size(); ++i) {
    if (graph.values()[i].kind == ValueKind::kConstant) values[i] = graph.values()[i].constant;
  }
  for (const ValueId id : graph.inputs()) {
    const Tensor& tensor = named_tensor(inputs, graph.value(id));
    bind_input(graph, id, tensor.shape(), bindings);
    values[static_cast<size_t>(id)] = tensor;
  }
  for (const ValueId id : graph.parameters()) {
    const Tensor& tensor = named_tensor(parameters, graph.value(id));
    if (tensor.shape() != bind_shape(graph.type(id), bindings)) {
      failed("parameter '" + graph.value(id).name + "'",
             "is " + shape_to_string(tensor.shape()) + ", not " + type_to_string(graph, graph.type(id)));
    }
    values[static_cast<size_t>(id)] = tensor;
  }
  for (const Node& node : graph.nodes()) {
    bind_pairs(graph, node, values, bindings);
    run_node(graph, node, bindings, values, seed);
  }
  std::map<std::string, Tensor> outputs;
  for (const auto& [name, id] : graph.outputs()) outputs[name] = values[static_cast<size_t>(id)];
  return outputs;
}

}  // namespace fettle
