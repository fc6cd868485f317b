#include "train/quantize/quantize_graph.h"

#include <map>
#include <set>

#include "base/error.h"
#include "graph/op.h"

namespace fettle {
namespace {

TensorType constant_type(const Shape& shape) {
  TensorType type;
  for (const int64_t size : shape) type.shape.push_back(Graph::constant_dim(size));
  return type;
}

class Insertion {
 public:
  explicit Insertion(Graph& graph) : graph_(graph), n_before_(graph.nodes().size()) {}

  void add(const FakeQuantizeSite& site) {
    const ValueId weight = graph_.find(site.weight);
    if (weight == kNoValue) failed(site.weight, "the graph has no parameter of that name to quantize");
    std::vector<ValueId> inputs{weight, graph_.add_parameter(site.steps, site.step_shape)};
    if (!site.zeros.empty()) inputs.push_back(graph_.add_input(site.zeros, constant_type(site.step_shape)));
    make(weights_[weight], "fake_quantize", inputs, site.attributes, site.weight + ".quantized");
    if (site.rounds_inputs) rounds_inputs_.insert(weight);
  }

  // Each node is placed where its result is first read, so that it belongs to that part of the model.
  void finish() {
    const std::vector<Node> before(graph_.nodes().begin(), graph_.nodes().begin() + n_before());
    for (const Node& node : before) {
      if (!reads_rounded(node)) continue;
      const ValueId x = node.inputs[0];
      if (!inputs_.contains(x)) make(inputs_[x], "fake_quantize_rows", {x}, {}, node.name + ".input");
    }
    std::vector<Node> order;
    for (const Node& original : before) {
      Node node = original;
      if (reads_rounded(node)) place(inputs_.at(node.inputs[0]), node.inputs[0], order);
      for (ValueId& input : node.inputs) {
        if (const auto found = weights_.find(input); found != weights_.end()) place(found->second, input, order);
      }
      order.push_back(std::move(node));
    }
    graph_.set_nodes(std::move(order));
  }

 private:
  struct Made {
    ValueId value = kNoValue;
    Node node;
    bool is_placed = false;
  };

  std::ptrdiff_t n_before() const { return static_cast<std::ptrdiff_t>(n_before_); }

  bool reads_rounded(const Node& node) const {
    return node.op->name() == "linear" && rounds_inputs_.contains(node.inputs[1]);
  }

  void make(Made& made, const char* op, const std::vector<ValueId>& inputs, const Attributes& attributes,
            const std::string& name) {
    made.value = graph_.node(op, inputs, attributes, name);
    made.node = graph_.nodes().back();
  }

  static void place(Made& made, ValueId& input, std::vector<Node>& order) {
    if (!made.is_placed) order.push_back(made.node);
    made.is_placed = true;
    input = made.value;
  }

  Graph& graph_;
  size_t n_before_;
  std::map<ValueId, Made> weights_;
  std::map<ValueId, Made> inputs_;
  std::set<ValueId> rounds_inputs_;
};

}  // namespace

void insert_fake_quantize(Graph& graph, const std::vector<FakeQuantizeSite>& sites) {
  Insertion insertion(graph);
  for (const FakeQuantizeSite& site : sites) insertion.add(site);
  insertion.finish();
}

}  // namespace fettle
