#include "graph/recompute.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/error.h"
#include "graph/op.h"

namespace fettle {
namespace {

class Recomputation {
 public:
  Recomputation(Graph& graph, int64_t n_forward)
      : graph_(graph), n_forward_(n_forward), nodes_(graph.nodes()), read_behind_(graph.values().size(), -1) {
    for (int64_t i = 0; i < n_forward_; ++i) {
      for (const ValueId id : node(i).inputs) note_read(id, i);
    }
    for (const auto& [name, id] : graph.outputs()) note_read(id, n_forward_);
  }

  // Copies what the backward nodes need of the nodes [begin, end).
  void add_segment(int64_t begin, int64_t end) {
    const std::vector<bool> wanted = wanted_nodes(begin, end);
    std::map<ValueId, ValueId> copies;
    std::vector<Node> made;
    for (int64_t i = begin; i < end; ++i) {
      if (wanted[static_cast<size_t>(i - begin)]) made.push_back(copy(node(i), end, copies));
    }
    if (made.empty()) return;
    int64_t first = -1;
    for (auto i = n_forward_; i < n_nodes(); ++i) {
      bool reads = false;
      for (ValueId& id : nodes_[static_cast<size_t>(i)].inputs) {
        const auto found = copies.find(id);
        if (found == copies.end()) continue;
        id = found->second;
        reads = true;
      }
      if (reads && first < 0) first = i;
    }
    inserted_[first].insert(inserted_[first].end(), made.begin(), made.end());
    n_copied_ += static_cast<int64_t>(made.size());
  }

  int64_t finish() {
    std::vector<Node> order;
    for (int64_t i = 0; i < n_nodes(); ++i) {
      const auto found = inserted_.find(i);
      if (found != inserted_.end()) order.insert(order.end(), found->second.begin(), found->second.end());
      order.push_back(nodes_[static_cast<size_t>(i)]);
    }
    graph_.set_nodes(std::move(order));
    return n_copied_;
  }

 private:
  int64_t n_nodes() const { return static_cast<int64_t>(nodes_.size()); }
  const Node& node(int64_t i) const { return nodes_[static_cast<size_t>(i)]; }
  void note_read(ValueId id, int64_t position) {
    if (id != kNoValue) read_behind_[static_cast<size_t>(id)] = position;
  }
  // Whether a value that is made before `end` is there anyhow when the forward pass is over.
  bool is_kept(ValueId id, int64_t end) const { return read_behind_[static_cast<size_t>(id)] >= end; }
  bool is_small(ValueId id) const { return graph_.type(id).shape.size() <= 1; }

  // The nodes of a segment without which the backward nodes would lack something.
  std::vector<bool> wanted_nodes(int64_t begin, int64_t end) const {
    std::vector<bool> needed(read_behind_.size(), false);
    for (int64_t i = n_forward_; i < n_nodes(); ++i) {
      for (const ValueId id : node(i).inputs) {
        if (is_value_before(id)) needed[static_cast<size_t>(id)] = !is_kept(id, end) && !is_small(id);
      }
    }
    std::vector<bool> wanted(static_cast<size_t>(end - begin), false);
    for (int64_t i = end; i-- > begin;) {
      const bool is_needed =
          std::ranges::any_of(node(i).outputs, [&](ValueId id) { return needed[static_cast<size_t>(id)]; });
      if (!is_needed) continue;
      wanted[static_cast<size_t>(i - begin)] = true;
      for (const ValueId id : node(i).inputs) {
        if (is_value_before(id) && !is_kept(id, end)) needed[static_cast<size_t>(id)] = true;
      }
    }
    return wanted;
  }
  // Copies of an earlier segment have ids beyond those that the graph had.
  bool is_value_before(ValueId id) const { return id != kNoValue && static_cast<size_t>(id) < read_behind_.size(); }

  Node copy(const Node& original, int64_t end, std::map<ValueId, ValueId>& copies) {
    std::vector<ValueId> inputs = original.inputs;
    for (ValueId& id : inputs) {
      const auto found = copies.find(id);
      if (found != copies.end()) id = found->second;
    }
    const std::vector<ValueId> outputs =
        graph_.add_nodes(original.op->name(), std::move(inputs), original.attributes, original.name);
    for (size_t o = 0; o < outputs.size(); ++o) {
      if (!is_kept(original.outputs[o], end)) copies[original.outputs[o]] = outputs[o];
    }
    return graph_.nodes().back();
  }

  Graph& graph_;
  int64_t n_forward_;
  std::vector<Node> nodes_;
  std::vector<int64_t> read_behind_;  // by ValueId: the last forward node that reads it, n_forward for graph outputs
  std::map<int64_t, std::vector<Node>> inserted_;  // by the node before which they stand
  int64_t n_copied_ = 0;
};

}  // namespace

int64_t recompute_segments(Graph& graph, int64_t n_forward, std::span<const int64_t> ends) {
  int64_t begin = 0;
  for (const int64_t end : ends) {
    if (end < begin || end > n_forward) failed("recompute", "the segments are not in order");
    begin = end;
  }
  Recomputation recomputation(graph, n_forward);
  begin = 0;
  for (const int64_t end : ends) {
    recomputation.add_segment(begin, end);
    begin = end;
  }
  return recomputation.finish();
}

}  // namespace fettle
