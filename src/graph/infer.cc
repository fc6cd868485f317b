#include "graph/infer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fettle {

std::string node_label(const Node& node) {
  std::string label(node.op == nullptr ? "node" : node.op->name());
  return node.name.empty() ? label : label + " '" + node.name + "'";
}

std::string dim_to_string(const Graph& graph, const Dim& dim) {
  if (dim.is_constant()) return std::to_string(dim.value);
  const auto index = static_cast<size_t>(dim.symbol);
  const std::string name = index < graph.symbols().size() ? graph.symbols()[index] : "?";
  if (dim.value == 0) return name;
  return name + (dim.value > 0 ? " + " : " - ") + std::to_string(std::abs(dim.value));
}

std::string type_to_string(const Graph& graph, const TensorType& type) {
  std::string text(dtype_name(type.dtype));
  text += '[';
  for (size_t i = 0; i < type.shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += dim_to_string(graph, type.shape[i]);
  }
  return text + ']';
}

TypeCheck::TypeCheck(const NodeView& view, size_t required, size_t optional) : view_(view), first_float_(0) {
  const size_t n_inputs = view.node.inputs.size();
  if (n_inputs < required || n_inputs > required + optional) {
    fail("takes " + std::to_string(required) + (optional > 0 ? " to " + std::to_string(required + optional) : "") +
         " inputs, not " + std::to_string(n_inputs));
  }
  for (size_t i = 0; i < required; ++i) {
    if (!view.has_input(i)) fail("input " + std::to_string(i) + " is missing");
  }
}

void TypeCheck::fail(const std::string& detail) const {
  failed(node_label(view_.node), detail);
}

const TensorType& TypeCheck::floats(size_t input) {
  const TensorType& type = view_.input_type(input);
  if (type.dtype != DType::kF32 && type.dtype != DType::kF64) {
    fail("input " + std::to_string(input) + " is " + type_to_string(view_.graph, type) + ", not f32");
  }
  if (!has_float_) first_float_ = input;
  has_float_ = true;
  if (view_.input_type(first_float_).dtype != type.dtype) {
    fail("inputs " + std::to_string(first_float_) + " and " + std::to_string(input) + " mix f32 and f64");
  }
  return type;
}

const TensorType& TypeCheck::floats(size_t input, size_t rank) {
  const TensorType& type = floats(input);
  if (type.shape.size() != rank) {
    fail("input " + std::to_string(input) + " is " + type_to_string(view_.graph, type) + ", not of rank " +
         std::to_string(rank));
  }
  return type;
}

const TensorType& TypeCheck::indices(size_t input) const {
  const TensorType& type = view_.input_type(input);
  if (type.dtype != DType::kI32 || type.shape.size() != 1) {
    fail("input " + std::to_string(input) + " is " + type_to_string(view_.graph, type) + ", not i32 of rank 1");
  }
  return type;
}

void TypeCheck::same_shape(size_t a, size_t b) const {
  const TensorType& left = view_.input_type(a);
  const TensorType& right = view_.input_type(b);
  if (left.shape == right.shape) return;
  fail("inputs " + std::to_string(a) + " and " + std::to_string(b) + " differ: " + type_to_string(view_.graph, left) +
       " and " + type_to_string(view_.graph, right));
}

void TypeCheck::same_dim(const Dim& a, const Dim& b, std::string_view what) const {
  if (a == b) return;
  fail(std::string(what) + " differ: " + dim_to_string(view_.graph, a) + " and " + dim_to_string(view_.graph, b));
}

void TypeCheck::scalar(size_t input) {
  vector_of(input, Graph::constant_dim(1));
}

void TypeCheck::vector_of(size_t input, const Dim& width) {
  const TensorType& type = floats(input, 1);
  if (type.shape[0] == width) return;
  fail("input " + std::to_string(input) + " is " + type_to_string(view_.graph, type) + ", not [" +
       dim_to_string(view_.graph, width) + "]");
}

int64_t TypeCheck::integer(std::string_view attribute, int64_t min) const {
  const auto found = view_.attributes().items().find(attribute);
  if (found == view_.attributes().items().end()) fail("attribute '" + std::string(attribute) + "' is missing");
  const auto* value = std::get_if<int64_t>(&found->second);
  if (value == nullptr) fail("attribute '" + std::string(attribute) + "' is not an integer");
  if (*value < min) fail("attribute '" + std::string(attribute) + "' is below " + std::to_string(min));
  return *value;
}

int64_t TypeCheck::integer_or(std::string_view attribute, int64_t fallback, int64_t min) const {
  return view_.attributes().has(attribute) ? integer(attribute, min) : fallback;
}

double TypeCheck::number(std::string_view attribute, double min, double max) const {
  const auto found = view_.attributes().items().find(attribute);
  if (found == view_.attributes().items().end()) fail("attribute '" + std::string(attribute) + "' is missing");
  double value = 0;
  if (const auto* real = std::get_if<double>(&found->second)) {
    value = *real;
  } else if (const auto* whole = std::get_if<int64_t>(&found->second)) {
    value = static_cast<double>(*whole);
  } else {
    fail("attribute '" + std::string(attribute) + "' is not a number");
  }
  if (!std::isfinite(value) || value < min || value >= max) {
    fail("attribute '" + std::string(attribute) + "' is out of range");
  }
  return value;
}

double TypeCheck::number_or(std::string_view attribute, double fallback, double min, double max) const {
  return view_.attributes().has(attribute) ? number(attribute, min, max) : fallback;
}

bool TypeCheck::flag(std::string_view attribute, bool fallback) const {
  const auto found = view_.attributes().items().find(attribute);
  if (found == view_.attributes().items().end()) return fallback;
  const auto* value = std::get_if<bool>(&found->second);
  if (value == nullptr) fail("attribute '" + std::string(attribute) + "' is not a boolean");
  return *value;
}

std::string TypeCheck::one_of(std::string_view attribute, std::string_view fallback,
                              std::initializer_list<std::string_view> values) const {
  const auto found = view_.attributes().items().find(attribute);
  if (found == view_.attributes().items().end() && !fallback.empty()) return std::string(fallback);
  const auto* value = found == view_.attributes().items().end() ? nullptr : std::get_if<std::string>(&found->second);
  if (value != nullptr && std::find(values.begin(), values.end(), *value) != values.end()) return *value;
  std::string known;
  for (const std::string_view name : values) known += (known.empty() ? "" : ", ") + std::string(name);
  fail("attribute '" + std::string(attribute) + "' is not one of " + known);
}

double bound_elements(const TensorType& type, const SymbolBindings& bindings) {
  double count = 1;
  for (const int64_t dim : bind_shape(type, bindings)) count *= static_cast<double>(dim);
  return count;
}

double bound_bytes(const TensorType& type, const SymbolBindings& bindings) {
  return bound_elements(type, bindings) * static_cast<double>(dtype_size(type.dtype));
}

double bytes_touched(const NodeView& view, const SymbolBindings& bindings) {
  double bytes = 0;
  for (const ValueId input : view.node.inputs) {
    if (input != kNoValue) bytes += bound_bytes(view.graph.type(input), bindings);
  }
  for (const ValueId output : view.node.outputs) bytes += bound_bytes(view.graph.type(output), bindings);
  return bytes;
}

}  // namespace fettle
