// A head that reads one row of each sequence lets the last layer compute no more than that: gather_rows(x, rows) moves
// up through every op that works row by row, down to the queries of the last attention, of which only those that are
// read are left. Keys and values are those of all tokens.
#include <algorithm>
#include <map>
#include <optional>

#include "graph/op.h"
#include "graph/passes/rewrite.h"

namespace fettle {
namespace {

// Ops whose row r depends on row r of these inputs alone.
struct RowwiseOp {
  std::string_view op;
  uint32_t row_inputs;  // bit i: input i
};
constexpr RowwiseOp kRowwise[] = {
    {"add", 3}, {"scale", 1}, {"activate", 1}, {"linear", 1}, {"layer_norm", 1 | 8}, {"softmax", 1}, {"log_softmax", 1},
};

std::vector<size_t> row_inputs_of(const Node& node) {
  const auto* found = std::ranges::find(kRowwise, node.op->name(), &RowwiseOp::op);
  std::vector<size_t> inputs;
  for (size_t i = 0; found != std::end(kRowwise) && i < node.inputs.size(); ++i) {
    if ((found->row_inputs >> i & 1) != 0 && node.inputs[i] != kNoValue) inputs.push_back(i);
  }
  return inputs;
}

// The linear_qkv of an attention_packed that nothing else reads, or nullptr.
const Node* projections_of(const Graph& graph, const Node& attention, const std::vector<int64_t>& uses) {
  if (attention.op->name() != "attention_packed") return nullptr;
  const NodeId producer = producer_of(graph, attention.inputs[0], "linear_qkv");
  if (producer < 0 || uses[static_cast<size_t>(attention.inputs[0])] != 1) return nullptr;
  const Node& projections = graph.nodes()[static_cast<size_t>(producer)];
  if (projections.inputs.size() != 7) return nullptr;
  const auto width = [&](size_t part) { return graph.type(projections.inputs[1 + 2 * part]).shape[0]; };
  return width(0) == width(1) && width(0) == width(2) ? &projections : nullptr;
}

class RowReader {
 public:
  RowReader(Graph& graph, ValueId rows)
      : graph_(graph),
        rows_(rows),
        uses_(count_uses(graph)),
        wanted_(graph.values().size(), 0),
        converts_(graph.nodes().size(), false) {}

  // Returns how many nodes compute only the rows from now on.
  int64_t run(FusionLog& log) {
    find();
    const int64_t n_converted = std::ranges::count(converts_, true);
    if (n_converted > 0) rewrite();
    for (const Node& gather : gathers_) {
      n_converted > 0 ? log.used(gather, reaches_attention_ ? "down to the queries of an attention" : stopped_by_)
                      : log.refused(gather, stopped_by_);
    }
    return n_converted;
  }

 private:
  // From the last node to the first: what is only read by rows need only be computed by rows.
  void find() {
    for (size_t i = graph_.nodes().size(); i-- > 0;) {
      const Node& node = graph_.nodes()[i];
      if (node.op->name() == "gather_rows" && node.inputs[1] == rows_ && is_computed(node.inputs[0])) {
        gathers_.push_back(node);
        want(node.inputs[0]);
        continue;
      }
      const ValueId y = node.outputs[0];
      if (wanted_[index(y)] == 0) continue;
      const bool others =
          wanted_[index(y)] != uses_[index(y)] || std::any_of(node.outputs.begin() + 1, node.outputs.end(),
                                                              [&](ValueId other) { return uses_[index(other)] > 0; });
      if (others) {
        if (stopped_by_.empty()) stopped_by_ = "other nodes or outputs read all rows";
        continue;
      }
      convert(i);
    }
  }

  void convert(size_t i) {
    const Node& node = graph_.nodes()[i];
    const Node* projections = projections_of(graph_, node, uses_);
    const std::vector<size_t> row_inputs = row_inputs_of(node);
    if (projections == nullptr && row_inputs.empty()) {
      if (stopped_by_.empty()) stopped_by_ = blocked_by(node);
      return;
    }
    converts_[i] = true;
    for (const size_t input : row_inputs) want(node.inputs[input]);
    if (projections == nullptr) return;
    reaches_attention_ = true;
    want(projections->inputs[0]);
    // By the queries, and by keys and values of all tokens.
    ++uses_[index(projections->inputs[0])];
  }

  static std::string blocked_by(const Node& node) {
    if (node.op->name().starts_with("attention")) return "the attention is not packed";
    return std::string(node.op->name()) + " does not work row by row";
  }

  void rewrite() {
    const std::vector<Node> nodes = graph_.nodes();
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Node& node = nodes[i];
      const bool is_gather = node.op->name() == "gather_rows" && node.inputs[1] == rows_ && is_computed(node.inputs[0]);
      if (is_gather && rows_of_.contains(node.inputs[0])) {
        replaced_.emplace_back(node.outputs[0], rows_of_.at(node.inputs[0]));
      } else if (!converts_[i]) {
        rewritten_.push_back(node);
      } else if (node.op->name() == "attention_packed") {
        rewrite_attention(nodes[static_cast<size_t>(graph_.value(node.inputs[0]).producer)], node);
      } else {
        std::vector<ValueId> inputs = node.inputs;
        for (const size_t input : row_inputs_of(node)) inputs[input] = rows_of(inputs[input]);
        rows_of_[node.outputs[0]] = append(node.op->name(), inputs, node.attributes, node.name);
      }
    }
    // The full linear_qkv stays behind unused, for remove_dead.
    graph_.set_nodes(std::move(rewritten_));
    for (const auto& [from, to] : replaced_) graph_.replace_uses(from, to);
  }

  void rewrite_attention(const Node& projections, const Node& attention) {
    const std::vector<ValueId>& in = projections.inputs;
    const ValueId q = append("linear", {rows_of(in[0]), in[1], in[2]}, {}, attention.name + ".query");
    const ValueId kv =
        append("linear_qkv", {in[0], in[3], in[4], in[5], in[6]}, {}, attention.name + ".keys_and_values");
    rows_of_[attention.outputs[0]] =
        append("attention_rows", {q, kv, rows_, attention.inputs[1]}, attention.attributes, attention.name);
  }

  // The rows of a value that is computed for all tokens are taken where they are first needed.
  ValueId rows_of(ValueId value) {
    const auto found = rows_of_.find(value);
    if (found != rows_of_.end()) return found->second;
    return rows_of_[value] = append("gather_rows", {value, rows_}, {}, graph_.value(value).name + ".rows");
  }

  // Appended to the graph for its new value, then taken to its place.
  ValueId append(std::string_view op, std::vector<ValueId> inputs, const Attributes& attributes,
                 const std::string& name) {
    const ValueId y = graph_.node(op, std::move(inputs), attributes, name);
    rewritten_.push_back(graph_.nodes().back());
    return y;
  }

  static size_t index(ValueId id) { return static_cast<size_t>(id); }
  bool is_computed(ValueId id) const { return graph_.value(id).kind == ValueKind::kComputed; }
  void want(ValueId id) { ++wanted_[index(id)]; }

  Graph& graph_;
  ValueId rows_;
  std::vector<int64_t> uses_;
  std::vector<int64_t> wanted_;  // by ValueId: uses that only want the rows
  std::vector<bool> converts_;   // by node
  std::vector<Node> gathers_;
  std::string stopped_by_;
  bool reaches_attention_ = false;
  std::map<ValueId, ValueId> rows_of_;
  std::vector<Node> rewritten_;
  std::vector<std::pair<ValueId, ValueId>> replaced_;
};

// [batch] of a graph whose offsets are [batch + 1], or nothing without attention.
std::optional<Dim> one_a_sequence(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    const std::string_view op = node.op->name();
    if (op != "attention" && op != "attention_packed" && op != "attention_rows") continue;
    Dim dim = graph.type(node.inputs[op == "attention_packed" ? 1 : 3]).shape[0];
    --dim.value;
    return dim;
  }
  return {};
}

}  // namespace

int64_t read_first_tokens_early(Graph& graph, FusionReports* reports) {
  FusionLog log("read_first_tokens_early", reports);
  const std::optional<Dim> batch = one_a_sequence(graph);
  if (!batch) return 0;
  std::vector<ValueId> selections;
  bool selects = false;
  for (const Node& node : graph.nodes()) {
    if (node.op->name() != "gather_rows" || graph.value(node.inputs[0]).kind != ValueKind::kComputed) continue;
    selects = true;
    const ValueId rows = node.inputs[1];
    if (graph.type(rows).shape[0] != *batch) {
      log.refused(node, "the head reads other rows than one of each sequence");
    } else if (std::ranges::find(selections, rows) == selections.end()) {
      selections.push_back(rows);
    }
  }
  if (!selects) log.refused(graph.nodes().back(), "the head reads every token");
  int64_t n_rewrites = 0;
  for (const ValueId rows : selections) n_rewrites += RowReader(graph, rows).run(log);
  return n_rewrites;
}

}  // namespace fettle
