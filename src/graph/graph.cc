#include "graph/graph.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "graph/op.h"

namespace fettle {
namespace {

TensorType type_of(const Tensor& tensor) {
  TensorType type{tensor.dtype(), {}};
  for (const int64_t dim : tensor.shape()) type.shape.push_back(Graph::constant_dim(dim));
  return type;
}

std::string output_label(const std::string& node, size_t index, size_t count) {
  if (count == 1 || node.empty()) return node;
  return node + ":" + std::to_string(index);
}

}  // namespace

Dim Graph::symbol(std::string_view name) {
  const auto found = std::find(symbols_.begin(), symbols_.end(), name);
  if (found != symbols_.end()) return Dim{static_cast<int32_t>(found - symbols_.begin()), 0};
  symbols_.emplace_back(name);
  return Dim{static_cast<int32_t>(symbols_.size()) - 1, 0};
}

Dim Graph::find_symbol(std::string_view name) const {
  const auto found = std::find(symbols_.begin(), symbols_.end(), name);
  if (found == symbols_.end()) failed("graph", "has no symbol '" + std::string(name) + "'");
  return Dim{static_cast<int32_t>(found - symbols_.begin()), 0};
}

ValueId Graph::add_value(Value value) {
  if (values_.size() >= static_cast<size_t>(std::numeric_limits<ValueId>::max()))
    failed("graph", "has too many values");
  values_.push_back(std::move(value));
  return static_cast<ValueId>(values_.size()) - 1;
}

ValueId Graph::add_input(std::string name, TensorType type) {
  if (find(name) != kNoValue) failed("graph", "the name '" + name + "' is taken");
  inputs_.push_back(
      add_value({.name = std::move(name), .type = std::move(type), .kind = ValueKind::kInput, .constant = {}}));
  return inputs_.back();
}

ValueId Graph::add_parameter(std::string name, const Shape& shape) {
  if (find(name) != kNoValue) failed("graph", "the name '" + name + "' is taken");
  TensorType type;
  for (const int64_t dim : shape) {
    if (dim < 0) failed("parameter '" + name + "'", "has a negative dimension");
    type.shape.push_back(constant_dim(dim));
  }
  parameters_.push_back(
      add_value({.name = std::move(name), .type = std::move(type), .kind = ValueKind::kParameter, .constant = {}}));
  return parameters_.back();
}

ValueId Graph::add_constant(std::string name, Tensor value) {
  if (!value.defined()) failed("constant '" + name + "'", "has no value");
  TensorType type = type_of(value);
  return add_value(
      {.name = std::move(name), .type = std::move(type), .kind = ValueKind::kConstant, .constant = std::move(value)});
}

std::vector<ValueId> Graph::add_nodes(std::string_view op_name, std::vector<ValueId> inputs, Attributes attributes,
                                      std::string name) {
  const Op& op = find_op(op_name);
  for (const ValueId input : inputs) {
    if (input < kNoValue || input >= static_cast<ValueId>(values_.size())) {
      failed(std::string(op_name) + " '" + name + "'", "an input is not a value of the graph");
    }
  }
  for (const std::string_view symbol_name : op.symbols()) symbol(symbol_name);
  Node node{&op, std::move(name), std::move(inputs), {}, std::move(attributes)};
  std::vector<TensorType> types = op.infer({*this, node});
  for (size_t i = 0; i < types.size(); ++i) {
    node.outputs.push_back(add_value({.name = output_label(node.name, i, types.size()),
                                      .type = std::move(types[i]),
                                      .kind = ValueKind::kComputed,
                                      .producer = static_cast<NodeId>(nodes_.size()),
                                      .constant = {}}));
  }
  nodes_.push_back(std::move(node));
  return nodes_.back().outputs;
}

ValueId Graph::node(std::string_view op, std::vector<ValueId> inputs, Attributes attributes, std::string name) {
  return add_nodes(op, std::move(inputs), std::move(attributes), std::move(name)).front();
}

void Graph::add_output(std::string name, ValueId value) {
  if (value < 0 || value >= static_cast<ValueId>(values_.size())) {
    failed("output '" + name + "'", "is not a value of the graph");
  }
  if (find(name) != kNoValue) failed("graph", "the name '" + name + "' is taken");
  outputs_.emplace_back(std::move(name), value);
}

ValueId Graph::find(std::string_view name) const {
  for (const ValueId id : inputs_) {
    if (value(id).name == name) return id;
  }
  for (const ValueId id : parameters_) {
    if (value(id).name == name) return id;
  }
  for (const auto& [output_name, id] : outputs_) {
    if (output_name == name) return id;
  }
  return kNoValue;
}

void Graph::set_nodes(std::vector<Node> nodes) {
  nodes_ = std::move(nodes);
  for (Value& value : values_) value.producer = -1;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    for (const ValueId output : nodes_[i].outputs) {
      // Ids out of range and second producers are left for verify() to name.
      if (output < 0 || output >= static_cast<ValueId>(values_.size())) continue;
      NodeId& producer = values_[static_cast<size_t>(output)].producer;
      if (producer < 0) producer = static_cast<NodeId>(i);
    }
  }
}

void Graph::replace_uses(ValueId from, ValueId to) {
  for (Node& node : nodes_) std::replace(node.inputs.begin(), node.inputs.end(), from, to);
  for (auto& [name, id] : outputs_) {
    if (id == from) id = to;
  }
}

void Graph::remove_dead() {
  std::vector<bool> used(values_.size(), false);
  for (const auto& [name, id] : outputs_) used[static_cast<size_t>(id)] = true;
  std::vector<bool> keep(nodes_.size(), false);
  for (size_t i = nodes_.size(); i-- > 0;) {
    const Node& node = nodes_[i];
    keep[i] = std::any_of(node.outputs.begin(), node.outputs.end(),
                          [&](ValueId output) { return used[static_cast<size_t>(output)]; });
    if (!keep[i]) continue;
    for (const ValueId input : node.inputs) {
      if (input != kNoValue) used[static_cast<size_t>(input)] = true;
    }
  }
  std::vector<Node> kept;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (keep[i]) kept.push_back(std::move(nodes_[i]));
  }
  set_nodes(std::move(kept));
  std::erase_if(parameters_, [&](ValueId id) { return !used[static_cast<size_t>(id)]; });
}

Shape bind_shape(const TensorType& type, const SymbolBindings& bindings) {
  Shape shape;
  shape.reserve(type.shape.size());
  for (const Dim& dim : type.shape) {
    int64_t size = dim.value;
    if (!dim.is_constant()) {
      const int64_t bound =
          static_cast<size_t>(dim.symbol) < bindings.size() ? bindings[static_cast<size_t>(dim.symbol)] : -1;
      if (bound < 0) failed("graph", "symbol " + std::to_string(dim.symbol) + " is not bound");
      size += bound;
    }
    if (size < 0) failed("graph", "a dimension is negative");
    shape.push_back(size);
  }
  return shape;
}

}  // namespace fettle
