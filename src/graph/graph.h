// The graph: the only representation of a computation. SSA values, nodes, parameters and symbolic dimensions.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tensor/tensor.h"

namespace fettle {

class Op;

using ValueId = int32_t;
using NodeId = int32_t;
constexpr ValueId kNoValue = -1;
// The symbol for Σ length² over the sequences of the ragged batch: attention probabilities are [pairs, heads]. No input
// has it in its shape; whoever runs a graph binds it from the offsets (count_pairs in evaluate.h).
inline constexpr std::string_view kPairsSymbol = "pairs";

// A constant, or a symbol plus a constant ("batch + 1").
struct Dim {
  int32_t symbol = -1;  // index into Graph::symbols(), or -1
  int64_t value = 0;

  bool operator==(const Dim&) const = default;
  bool is_constant() const { return symbol < 0; }
};

struct TensorType {
  DType dtype = DType::kF32;
  std::vector<Dim> shape;

  bool operator==(const TensorType&) const = default;
};

using Attribute = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>>;

// Attributes of a node by name. Getters with a fallback serve optional ones; the others assert that it is there.
class Attributes {
 public:
  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, Attribute>> items) : items_(items) {}

  void set(std::string name, Attribute value) { items_[std::move(name)] = std::move(value); }
  bool has(std::string_view name) const;
  int64_t get_int(std::string_view name) const;
  int64_t get_int(std::string_view name, int64_t fallback) const;
  double get_double(std::string_view name) const;
  double get_double(std::string_view name, double fallback) const;
  bool get_bool(std::string_view name, bool fallback) const;
  std::string get_string(std::string_view name, std::string_view fallback) const;
  std::vector<int64_t> get_ints(std::string_view name) const;
  const std::map<std::string, Attribute, std::less<>>& items() const { return items_; }
  bool operator==(const Attributes&) const = default;

 private:
  std::map<std::string, Attribute, std::less<>> items_;
};

enum class ValueKind : uint8_t { kInput, kParameter, kConstant, kComputed };

struct Value {
  std::string name;  // unique among inputs, parameters and outputs; for computed values a label
  TensorType type;
  ValueKind kind = ValueKind::kComputed;
  NodeId producer = -1;  // kComputed only
  Tensor constant;       // kConstant only
};

struct Node {
  const Op* op = nullptr;
  std::string name;             // where it stands in the model, "bert.encoder.layer.0.attention.self.query"
  std::vector<ValueId> inputs;  // optional inputs that are absent are kNoValue
  std::vector<ValueId> outputs;
  Attributes attributes;
};

// Nodes are kept in an order in which every value is computed before it is used.
class Graph {
 public:
  // The symbol of that name, made when new ("tokens", "batch", "masked").
  Dim symbol(std::string_view name);
  // The same without making one; Error kFailed when there is none.
  Dim find_symbol(std::string_view name) const;
  static Dim constant_dim(int64_t value) { return Dim{-1, value}; }

  ValueId add_input(std::string name, TensorType type);
  // f32; what is stored for it may be encoded otherwise.
  ValueId add_parameter(std::string name, const Shape& shape);
  ValueId add_constant(std::string name, Tensor value);
  // Appends a node; its output types come from the op's shape inference. Errors (kFailed, naming op and node): unknown
  // op, types that the op does not accept. Returns the outputs; `node` that of an op with one output.
  std::vector<ValueId> add_nodes(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {},
                                 std::string name = "");
  ValueId node(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {}, std::string name = "");
  void add_output(std::string name, ValueId value);

  const std::vector<Value>& values() const { return values_; }
  const Value& value(ValueId id) const { return values_[static_cast<size_t>(id)]; }
  const TensorType& type(ValueId id) const { return value(id).type; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<std::string>& symbols() const { return symbols_; }
  const std::vector<ValueId>& inputs() const { return inputs_; }
  const std::vector<ValueId>& parameters() const { return parameters_; }
  const std::vector<std::pair<std::string, ValueId>>& outputs() const { return outputs_; }
  // kNoValue when there is none of that name among inputs, parameters and outputs.
  ValueId find(std::string_view name) const;

  // For passes: replaces the node list (ids of nodes change, ids of values stay) and repairs producers.
  void set_nodes(std::vector<Node> nodes);
  void replace_uses(ValueId from, ValueId to);  // in nodes and outputs
  // Drops nodes whose results nobody uses, and then unused parameters and constants from the lists.
  void remove_dead();

 private:
  ValueId add_value(Value value);
  std::vector<Value> values_;
  std::vector<Node> nodes_;
  std::vector<std::string> symbols_;
  std::vector<ValueId> inputs_;
  std::vector<ValueId> parameters_;
  std::vector<std::pair<std::string, ValueId>> outputs_;
};

// Values of the symbols in one run, by index into Graph::symbols(); -1 where not yet known.
using SymbolBindings = std::vector<int64_t>;
Shape bind_shape(const TensorType& type, const SymbolBindings& bindings);

// Checks SSA form, order of nodes, arity and types against shape inference; Error kFailed naming the first node at
// fault.
void verify(const Graph& graph);
// Human-readable text, one node a line.
std::string print(const Graph& graph);

}  // namespace fettle
