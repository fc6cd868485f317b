#include <charconv>

#include "graph/infer.h"
#include "graph/op.h"

namespace fettle {
namespace {

std::string number_to_string(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return {text, end};
}

struct AttributePrinter {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return number_to_string(value); }
  std::string operator()(const std::string& value) const { return '"' + value + '"'; }
  std::string operator()(const std::vector<int64_t>& values) const {
    std::string text;
    for (const int64_t value : values) text += (text.empty() ? "" : ", ") + std::to_string(value);
    return '[' + text + ']';
  }
};

// Inputs, parameters and constants by name, computed values by number; "?" for what is not there, as print serves to
// look into graphs that verify refuses.
std::string value_to_string(const Graph& graph, ValueId id) {
  if (id == kNoValue) return "-";
  if (id < 0 || static_cast<size_t>(id) >= graph.values().size()) return "?";
  const Value& value = graph.value(id);
  return value.kind == ValueKind::kComputed ? "%" + std::to_string(id) : value.name;
}

std::string values_to_string(const Graph& graph, const std::vector<ValueId>& ids) {
  std::string text;
  for (const ValueId id : ids) text += (text.empty() ? "" : ", ") + value_to_string(graph, id);
  return text;
}

std::string node_to_string(const Graph& graph, const Node& node) {
  const std::string op(node.op == nullptr ? "?" : node.op->name());
  std::string text =
      values_to_string(graph, node.outputs) + " = " + op + '(' + values_to_string(graph, node.inputs) + ')';
  std::string attributes;
  for (const auto& [name, value] : node.attributes.items()) {
    attributes += (attributes.empty() ? "" : ", ") + name + '=' + std::visit(AttributePrinter(), value);
  }
  if (!attributes.empty()) text += " {" + attributes + '}';
  text += " :";
  for (const ValueId output : node.outputs) {
    const bool known = output >= 0 && static_cast<size_t>(output) < graph.values().size();
    text += ' ' + (known ? type_to_string(graph, graph.type(output)) : "?");
  }
  return node.name.empty() ? text : text + "  # " + node.name;
}

}  // namespace

std::string print(const Graph& graph) {
  std::string text;
  for (const ValueId id : graph.inputs()) {
    text += "input " + graph.value(id).name + " : " + type_to_string(graph, graph.type(id)) + '\n';
  }
  for (const ValueId id : graph.parameters()) {
    text += "parameter " + graph.value(id).name + " : " + type_to_string(graph, graph.type(id)) + '\n';
  }
  for (const Node& node : graph.nodes()) text += node_to_string(graph, node) + '\n';
  for (const auto& [name, id] : graph.outputs()) text += "output " + name + " = " + value_to_string(graph, id) + '\n';
  return text;
}

}  // namespace fettle
