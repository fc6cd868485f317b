#include "train/table_rows.h"

#include <algorithm>
#include <cstring>

#include "graph/op.h"

namespace fettle {
namespace {

// Smaller tables (types, positions) are not worth the bookkeeping.
constexpr int64_t kFewestRows = 2048;
constexpr int64_t kRowsOfTask = 8;
// The numbers of past steps are forgotten at least this often.
constexpr size_t kMostSteps = 4096;

int64_t count_rows(const TableGradient& gradient) {
  return std::find(gradient.row_ids.begin(), gradient.row_ids.end(), -1) - gradient.row_ids.begin();
}

// Ids, then rows.
std::vector<std::byte> pack_rows(const TableGradient& gradient, double weight, int64_t width) {
  const int64_t n = count_rows(gradient);
  const auto id_bytes = static_cast<size_t>(n) * sizeof(int32_t);
  std::vector<std::byte> bytes(id_bytes + static_cast<size_t>(n * width) * sizeof(float));
  if (n == 0) return bytes;
  std::memcpy(bytes.data(), gradient.row_ids.data(), id_bytes);
  auto* rows = reinterpret_cast<float*>(bytes.data() + id_bytes);
  for (int64_t i = 0; i < n * width; ++i) rows[i] = static_cast<float>(weight) * gradient.rows[i];
  return bytes;
}

}  // namespace

std::optional<TableOutputs> add_table_outputs(Graph& graph, ValueId gradient, const std::string& parameter) {
  const NodeId producer = graph.value(gradient).producer;
  if (producer < 0) return std::nullopt;
  const Node node = graph.nodes()[static_cast<size_t>(producer)];
  if (node.op->name() != "scatter_rows") return std::nullopt;
  const Value ids = graph.value(node.inputs[0]);  // a copy: the graph grows
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

MergedRows merge_rows(Communicator& ranks, const TableGradient& mine, double weight, int64_t width) {
  std::vector<int64_t> sizes;
  const std::vector<std::byte> all = ranks.gather(pack_rows(mine, weight, width), sizes);
  const auto row_bytes = static_cast<int64_t>(sizeof(int32_t)) + width * static_cast<int64_t>(sizeof(float));
  MergedRows merged;
  int64_t at = 0;
  for (const int64_t size : sizes) {
    const auto* ids = reinterpret_cast<const int32_t*>(all.data() + at);
    merged.row_ids.insert(merged.row_ids.end(), ids, ids + size / row_bytes);
    at += size;
  }
  std::sort(merged.row_ids.begin(), merged.row_ids.end());
  merged.row_ids.erase(std::unique(merged.row_ids.begin(), merged.row_ids.end()), merged.row_ids.end());
  merged.rows.resize(merged.row_ids.size() * static_cast<size_t>(width));
  at = 0;
  for (const int64_t size : sizes) {
    const int64_t n = size / row_bytes;
    const auto* ids = reinterpret_cast<const int32_t*>(all.data() + at);
    const auto* rows = reinterpret_cast<const float*>(all.data() + at + n * static_cast<int64_t>(sizeof(int32_t)));
    for (int64_t i = 0; i < n; ++i) {
      const int64_t place =
          std::lower_bound(merged.row_ids.begin(), merged.row_ids.end(), ids[i]) - merged.row_ids.begin();
      float* sum = merged.rows.data() + place * width;
      for (int64_t c = 0; c < width; ++c) sum[c] += rows[i * width + c];
    }
    at += size;
  }
  for (const float value : merged.rows) merged.squares += static_cast<double>(value) * value;
  return merged;
}

void TableRows::step(const AdamwStep& numbers, const TableGradient& gradient) {
  const int64_t n = count_rows(gradient);
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
