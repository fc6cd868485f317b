#include <set>

#include "base/error.h"
#include "graph/infer.h"
#include "graph/op.h"

namespace fettle {
namespace {

class Verifier {
 public:
  explicit Verifier(const Graph& graph) : graph_(graph), available_(graph.values().size(), false) {}

  void run() {
    for (const ValueId id : graph_.inputs()) leaf(id, ValueKind::kInput);
    for (const ValueId id : graph_.parameters()) leaf(id, ValueKind::kParameter);
    constants();
    for (size_t i = 0; i < graph_.nodes().size(); ++i) node(i);
    for (const auto& [name, id] : graph_.outputs()) {
      unique_name(name);
      if (!is_available(id)) failed("output '" + name + "'", "is not computed");
    }
  }

 private:
  bool is_available(ValueId id) const {
    return id >= 0 && static_cast<size_t>(id) < available_.size() && available_[static_cast<size_t>(id)];
  }

  void unique_name(const std::string& name) {
    if (!names_.insert(name).second) failed("graph", "the name '" + name + "' stands twice");
  }

  void leaf(ValueId id, ValueKind kind) {
    if (id < 0 || static_cast<size_t>(id) >= available_.size()) failed("graph", "an input is not a value");
    const Value& value = graph_.value(id);
    unique_name(value.name);
    if (value.kind != kind) failed("'" + value.name + "'", "is of another kind than its list");
    dims(value);
    for (const Dim& dim : value.type.shape) {
      if (kind == ValueKind::kParameter && !dim.is_constant())
        failed("'" + value.name + "'", "has a symbolic dimension");
    }
    available_[static_cast<size_t>(id)] = true;
  }

  void dims(const Value& value) const {
    for (const Dim& dim : value.type.shape) {
      const bool known = dim.is_constant() ? dim.value >= 0 : static_cast<size_t>(dim.symbol) < graph_.symbols().size();
      if (!known) failed("'" + value.name + "'", "has a negative dimension or an unknown symbol");
    }
  }

  void constants() {
    for (size_t id = 0; id < graph_.values().size(); ++id) {
      const Value& value = graph_.values()[id];
      if (value.kind != ValueKind::kConstant) continue;
      const bool fits = value.constant.defined() && value.constant.dtype() == value.type.dtype &&
                        value.constant.shape() == bind_shape(value.type, {});
      if (!fits) failed("constant '" + value.name + "'", "does not have its type");
      available_[id] = true;
    }
  }

  void node(size_t index) {
    const Node& node = graph_.nodes()[index];
    const std::string label = "node " + std::to_string(index) + " (" + node_label(node) + ")";
    if (node.op == nullptr) failed(label, "has no op");
    for (const ValueId input : node.inputs) {
      if (input != kNoValue && !is_available(input)) {
        failed(label, "uses value " + std::to_string(input) + " before it is computed");
      }
    }
    const std::vector<TensorType> types = node.op->infer({graph_, node});
    if (types.size() != node.outputs.size()) {
      failed(label, "has " + std::to_string(node.outputs.size()) + " outputs, not " + std::to_string(types.size()));
    }
    for (size_t i = 0; i < types.size(); ++i) output(label, index, node.outputs[i], types[i]);
  }

  void output(const std::string& label, size_t index, ValueId id, const TensorType& type) {
    if (id < 0 || static_cast<size_t>(id) >= available_.size()) failed(label, "has an output that is not a value");
    const Value& value = graph_.value(id);
    if (is_available(id) || value.kind != ValueKind::kComputed) {
      failed(label, "computes value " + std::to_string(id) + ", which is already there");
    }
    if (value.producer != static_cast<NodeId>(index)) failed(label, "is not the producer of its output");
    if (value.type != type) {
      failed(label, "computes " + type_to_string(graph_, type) + ", not " + type_to_string(graph_, value.type));
    }
    available_[static_cast<size_t>(id)] = true;
  }

  const Graph& graph_;
  std::vector<bool> available_;
  std::set<std::string> names_;
};

}  // namespace

void verify(const Graph& graph) {
  Verifier(graph).run();
}

}  // namespace fettle
