// Tables of which a batch reads few rows (word embeddings). Their gradient is those rows only, and the others, whose
// gradient is zero, take the optimizer's steps when they are next needed: to the bit what a dense gradient would give,
// for a fraction of the memory traffic.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "graph/graph.h"
#include "kernels/kernel_table.h"
#include "train/optimizer.h"
#include "train/parallel/communicator.h"

namespace fettle {

// Where a training graph leaves the gradient of a table: outputs of the graph (sum_equal_rows), and the input with the
// ids that the forward pass reads.
struct TableOutputs {
  std::string ids_input;
  std::string rows;
  std::string row_ids;
  std::string squares;
};

// Adds those outputs when `gradient` is nothing but the sum of rows that one input chose, out of a table with many more
// rows than a batch reads; nullopt when it is not.
std::optional<TableOutputs> add_table_outputs(Graph& graph, ValueId gradient, const std::string& parameter);

// The gradients of all ranks' shares, each times its weight, summed in the order of the ranks.
struct MergedRows {
  std::vector<int32_t> row_ids;
  std::vector<float> rows;
  double squares = 0;

  TableGradient gradient() const { return {.rows = rows.data(), .row_ids = row_ids}; }
};
MergedRows merge_rows(Communicator& ranks, const TableGradient& mine, double weight, int64_t width);

// The rows of one parameter [rows, width]. Steps are counted from where all rows were last caught up.
class TableRows {
 public:
  TableRows(ParameterSlot& slot, const KernelTable& table, ThreadPool& pool);

  // Before these rows are read.
  void catch_up(std::span<const int32_t> ids);
  // Before the parameter is read as a whole: evaluation, checkpoints, the end.
  void catch_up_all();
  // `numbers` holds the step's rates and factors; rows with a gradient must have been caught up.
  void step(const AdamwStep& numbers, const TableGradient& gradient);

 private:
  void catch_up_row(int64_t row);

  ParameterSlot& slot_;
  const KernelTable& table_;
  ThreadPool& pool_;
  int64_t width_;
  std::vector<AdamwStep> steps_;  // since all rows were caught up
  std::vector<int64_t> n_done_;   // of each row: how many of steps_ it has taken
  std::vector<int32_t> behind_;
};

}  // namespace fettle
