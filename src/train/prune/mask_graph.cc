#include "train/prune/mask_graph.h"

#include <map>

#include "base/error.h"

namespace fettle {
namespace {

// Apart from the streams of dropout, which count from 0.
constexpr int64_t kGateStream = int64_t{1} << 40;

struct Masked {
  ValueId value = kNoValue;
  std::vector<Node> nodes;  // that compute it, until they are placed
};

class Insertion {
 public:
  Insertion(Graph& graph, bool gates) : graph_(graph), gates_(gates), n_before_(graph.nodes().size()) {
    if (gates) noise_ = graph.add_input(kGateNoise, constant_type({1}));
  }

  void add(const MaskSite& site) {
    const ValueId weight = graph_.find(site.weight);
    if (weight == kNoValue) failed(site.weight, "the graph has no parameter of that name to mask");
    const Shape shape{site.blocks.mask_rows(), site.blocks.mask_columns()};
    const ValueId mask = graph_.add_input(site.mask, constant_type(shape));
    const Attributes attributes{{"block_rows", site.blocks.block_rows}, {"block_columns", site.blocks.block_columns}};
    const size_t first = graph_.nodes().size();
    std::vector<ValueId> inputs{weight, mask};
    if (!site.scores.empty()) {
      const ValueId scores = graph_.add_parameter(site.scores, shape);
      if (gates_) {
        inputs[1] = gate(scores, mask, site.scores);
      } else {
        inputs.push_back(scores);
      }
    }
    Masked& masked = masked_[weight];
    masked.value = graph_.node("mask_weight", inputs, attributes, site.weight + ".masked");
    masked.nodes.assign(graph_.nodes().begin() + static_cast<std::ptrdiff_t>(first), graph_.nodes().end());
  }

  // Each masked weight is made where it is first read, so that it belongs to that part of the model.
  void finish() {
    std::vector<Node> order;
    for (size_t i = 0; i < n_before_; ++i) {
      Node node = graph_.nodes()[i];
      for (ValueId& input : node.inputs) {
        const auto found = masked_.find(input);
        if (found == masked_.end()) continue;
        for (Node& made : found->second.nodes) order.push_back(std::move(made));
        found->second.nodes.clear();
        input = found->second.value;
      }
      order.push_back(std::move(node));
    }
    graph_.set_nodes(std::move(order));
  }

 private:
  static TensorType constant_type(const Shape& shape) {
    TensorType type;
    for (const int64_t size : shape) type.shape.push_back(Graph::constant_dim(size));
    return type;
  }

  ValueId gate(ValueId scores, ValueId mask, const std::string& name) {
    return graph_.node("hard_concrete", {scores, mask, noise_},
                       {{"beta", kGateBeta},
                        {"gamma", kGateGamma},
                        {"zeta", kGateZeta},
                        {"stream", kGateStream + static_cast<int64_t>(masked_.size())}},
                       name + ".gates");
  }

  Graph& graph_;
  bool gates_;
  size_t n_before_;
  ValueId noise_ = kNoValue;
  std::map<ValueId, Masked> masked_;
};

}  // namespace

void insert_masks(Graph& graph, const std::vector<MaskSite>& sites, bool gates) {
  Insertion insertion(graph, gates);
  for (const MaskSite& site : sites) insertion.add(site);
  insertion.finish();
}

}  // namespace fettle
