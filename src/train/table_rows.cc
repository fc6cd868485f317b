#include "train/table_rows.h"

#include <algorithm>

#include "graph/op.h"

namespace fettle {
namespace {

// Smaller tables (types, positions) are not worth the bookkeeping.
constexpr int64_t kFewestRows = 2048;
constexpr int64_t kRowsOfTask = 8;
// The numbers of past steps are forgotten at least this often.
constexpr size_t kMostSteps = 4096;

}  // namespace

std::optional<TableOutputs> add_table_outputs(Graph& graph, ValueId gradient, const std::string& parameter) {
  const NodeId producer = graph.value(gradient).producer;
  if (producer < 0) return std::nullopt;
  const Node node = graph.nodes()[static_cast<size_t>(producer)];
  if (node.op->name() != "scatter_rows") return std::nullopt;
  const Value& ids = graph.value(node.inputs[0]);
  const int64_t table_rows = graph.type(node.inputs[2]).shape[0].value;
  if (ids.kind != ValueKind::kInput || table_rows < kFewestRows) return std::nullopt;
  const std::vector<ValueId> sums = graph.add_nodes("sum_equal_rows", {node.inputs[0], node.inputs[1]},
                                                    {{"table_rows", table_rows}}, node.name + ".rows");
  TableOutputs outputs{.ids_input = ids.name,
                       .rows = "gradient rows of " + parameter,
                       .row_ids = "gradient row ids of " + parameter,
                       .squares = "gradient squares of " + parameter};
  graph.add_output(outputs.rows, sums[0]);
  graph.add_output(outputs.row_ids, sums[1]);
  graph.add_output(outputs.squares, sums[2]);
  return outputs;
}

TableRows::TableRows(ParameterSlot& slot, const KernelTable& table, ThreadPool& pool)
    : slot_(slot), table_(table), pool_(pool), width_(slot.weight.dim(1)) {
  n_done_.resize(static_cast<size_t>(slot.weight.dim(0)));
}

void TableRows::catch_up_row(int64_t row) {
  const int64_t done = n_done_[static_cast<size_t>(row)];
  table_.adamw_idle({.weight = slot_.weight.mutable_data<float>() + row * width_,
                     .m = slot_.m.mutable_data<float>() + row * width_,
                     .v = slot_.v.mutable_data<float>() + row * width_,
                     .n = width_},
                    steps_.data() + done, static_cast<int64_t>(steps_.size()) - done);
  n_done_[static_cast<size_t>(row)] = static_cast<int64_t>(steps_.size());
}

void TableRows::catch_up(std::span<const int32_t> ids) {
  behind_.clear();
  const auto n_rows = static_cast<int64_t>(n_done_.size());
  for (const int32_t id : ids) {
    // An id outside the table is the forward pass's to complain of.
    if (id < 0 || id >= n_rows) continue;
    if (n_done_[static_cast<size_t>(id)] < static_cast<int64_t>(steps_.size())) behind_.push_back(id);
  }
  std::sort(behind_.begin(), behind_.end());
  behind_.erase(std::unique(behind_.begin(), behind_.end()), behind_.end());
  pool_.parallel_ranges(static_cast<int64_t>(behind_.size()), kRowsOfTask, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) catch_up_row(behind_[static_cast<size_t>(i)]);
  });
}

void TableRows::catch_up_all() {
  if (steps_.empty()) return;
  pool_.parallel_ranges(static_cast<int64_t>(n_done_.size()), kRowsOfTask, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) catch_up_row(row);
  });
  std::fill(n_done_.begin(), n_done_.end(), 0);
  steps_.clear();
}

void TableRows::step(const AdamwStep& numbers, const TableGradient& gradient) {
  const auto last = std::find(gradient.row_ids.begin(), gradient.row_ids.end(), -1);
  const int64_t n = last - gradient.row_ids.begin();
  steps_.push_back(numbers);
  pool_.parallel_ranges(n, kRowsOfTask, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = gradient.row_ids[static_cast<size_t>(i)];
      AdamwStep update = numbers;
      update.weight = slot_.weight.mutable_data<float>() + row * width_;
      update.grad = gradient.rows + i * width_;
      update.m = slot_.m.mutable_data<float>() + row * width_;
      update.v = slot_.v.mutable_data<float>() + row * width_;
      table_.adamw(update, 0, width_);
      n_done_[static_cast<size_t>(row)] = static_cast<int64_t>(steps_.size());
    }
  });
  if (steps_.size() >= kMostSteps) catch_up_all();
}

}  // namespace fettle
