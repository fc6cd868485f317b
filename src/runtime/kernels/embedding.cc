#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/scratch.h"
#include "runtime/kernels/factories.h"
#include "tensor/int_grid.h"
#include "tensor/int_group.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

constexpr int64_t kGatherGrain = 65536;
constexpr int64_t kEmbedGrain = 16384;
constexpr int64_t kColumnsOfTask = 64;
constexpr int64_t kZeroGrain = 1 << 18;

// `where` names the node.
void check_ids(const int32_t* ids, int64_t n, int64_t limit, const std::string& where) {
  for (int64_t i = 0; i < n; ++i) {
    if (ids[i] >= 0 && ids[i] < limit) continue;
    bad_input(where, fmt::format("id {} at row {} is outside the table of {} rows", ids[i], i, limit));
  }
}

float widen_bf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

template <typename Widen>
void widen_row(const uint16_t* row, int64_t width, float* y, Widen widen) {
  for (int64_t c = 0; c < width; ++c) y[c] = widen(row[c]);
}

// A table to look rows up in, as it is stored: of a large vocabulary only the rows in use are ever read. Tables that
// are no constants are read from their slot.
class EmbeddingTable {
 public:
  EmbeddingTable(const NodeBinding& binding, size_t input) {
    if (!binding.is_constant(input)) {
      slot_ = binding.input(input);
      return;
    }
    stored_ = binding.parameters.stored(binding.node.inputs[input]);
    check_scales(binding.graph.value(binding.node.inputs[input]).name, stored_);
    if (stored_.encoding.kind == EncodingKind::kSparse) stored_ = to_dense(stored_);
    stored_ = with_row_scales(stored_);
    if (stored_.encoding.kind == EncodingKind::kDense && stored_.data.dtype() == DType::kF64) {
      stored_.data = stored_.decode();
    }
  }

  int64_t rows(const RunContext& context) const { return slot_ != kNoValue ? context[slot_].rows : stored_.shape[0]; }

  // Rows `ids` to y [n, width].
  void gather(const RunContext& context, const int32_t* ids, int64_t n, int64_t width, float* y) const {
    const KernelTable& table = *context.table;
    if (const float* dense = dense_data(context)) return table.gather(dense, ids, n, width, y);
    if (stored_.encoding.kind == EncodingKind::kIntChannel) {
      return table.gather_int8(stored_.data.data<int8_t>(), stored_.scales.data<float>(), ids, n, width, y);
    }
    if (stored_.encoding.kind == EncodingKind::kIntGroup) {
      for (int64_t r = 0; r < n; ++r) decode_int_row(stored_, ids[r], y + r * width);
      return;
    }
    const bool is_bf16 = stored_.data.dtype() == DType::kBF16;
    for (int64_t r = 0; r < n; ++r) {
      const uint16_t* row = stored_.data.data<uint16_t>() + ids[r] * width;
      is_bf16 ? widen_row(row, width, y + r * width, widen_bf16) : widen_row(row, width, y + r * width, f16_to_f32);
    }
  }

  // Row *id: where it lies when it is f32, else decoded into `work`.
  const float* row(const RunContext& context, const int32_t* id, int64_t width, float* work) const {
    if (const float* dense = dense_data(context)) return dense + *id * width;
    gather(context, id, 1, width, work);
    return work;
  }

 private:
  const float* dense_data(const RunContext& context) const {
    if (slot_ != kNoValue) return context[slot_].f32();
    const bool is_f32 = stored_.encoding.kind == EncodingKind::kDense && stored_.data.dtype() == DType::kF32;
    return is_f32 ? stored_.data.data<float>() : nullptr;
  }

  EncodedTensor stored_;
  ValueId slot_ = kNoValue;
};

class GatherNode : public NodeKernel {
 public:
  explicit GatherNode(const NodeBinding& binding)
      : table_(binding, 0), ids_(binding.input(1)), y_(binding.output(0)), where_(binding.node.name) {}

  void run(const RunContext& context) override {
    const int32_t* ids = context[ids_].i32();
    const Slot& y = context[y_];
    check_ids(ids, y.rows, table_.rows(context), where_);
    for_row_ranges(context, y.rows, y.width, kGatherGrain, [&](int64_t begin, int64_t end) {
      table_.gather(context, ids + begin, end - begin, y.width, y.f32() + begin * y.width);
    });
  }

 private:
  EmbeddingTable table_;
  ValueId ids_, y_;
  std::string where_;
};

// Sum of a row of each table, and its norm, a row at a time.
class EmbedLayerNormNode : public NodeKernel {
 public:
  explicit EmbedLayerNormNode(const NodeBinding& binding)
      : gamma_(binding.input(0)),
        beta_(binding.input(1)),
        y_(binding.output(0)),
        eps_(static_cast<float>(binding.attributes().get_double("eps"))) {
    for (size_t i = 2; i < binding.node.inputs.size(); i += 2) {
      // The table's own name says which of the ids is wrong.
      parts_.push_back({EmbeddingTable(binding, i), binding.input(i + 1),
                        binding.node.name + ", " + binding.graph.value(binding.node.inputs[i]).name});
    }
  }

  void run(const RunContext& context) override {
    const Slot& y = context[y_];
    for (const Part& part : parts_) check_ids(context[part.ids].i32(), y.rows, part.table.rows(context), part.where);
    feed_.begin(y.rows);
    for_row_ranges(context, y.rows, y.width, kEmbedGrain, [&](int64_t begin, int64_t end) {
      auto* work = thread_scratch_of<float>(ScratchUse::kStrip, static_cast<size_t>(y.width));
      for (int64_t r = begin; r < end; ++r) {
        embed_row(context, r, y, work);
        feed_.wrote(y.f32(), y.width, r, r + 1);
      }
    });
    feed_.finish();
  }
  bool can_feed(ValueId value) const override { return value == y_; }
  void feed(const PackedLinear* linear, FedRows* fed) override { feed_.connect(linear, fed); }

 private:
  struct Part {
    EmbeddingTable table;
    ValueId ids;
    std::string where;
  };

  // The last table's row is added by the norm.
  void embed_row(const RunContext& context, int64_t r, const Slot& y, float* work) const {
    float* out = y.f32() + r * y.width;
    const auto row = [&](size_t part, float* to) {
      return parts_[part].table.row(context, context[parts_[part].ids].i32() + r, y.width, to);
    };
    const float* sum = row(0, out);
    for (size_t part = 1; part + 1 < parts_.size(); ++part) {
      context.table->add(sum, row(part, work), out, y.width);
      sum = out;
    }
    context.table->layer_norm({.x = sum,
                               .residual = parts_.size() > 1 ? row(parts_.size() - 1, work) : nullptr,
                               .gamma = context[gamma_].f32(),
                               .beta = context[beta_].f32(),
                               .eps = eps_,
                               .width = y.width,
                               .y = out},
                              0, 1);
  }

  ValueId gamma_, beta_, y_;
  float eps_;
  std::vector<Part> parts_;
  RowFeed feed_;
};

// Tasks own columns, and each walks all rows in order, so that equal ids are summed in row order at any number of
// threads.
class ScatterNode : public NodeKernel {
 public:
  explicit ScatterNode(const NodeBinding& binding)
      : ids_(binding.input(0)), d_y_(binding.input(1)), d_table_(binding.output(0)), where_(binding.node.name) {}

  void run(const RunContext& context) override {
    const int32_t* ids = context[ids_].i32();
    const Slot& d_y = context[d_y_];
    const Slot& d_table = context[d_table_];
    check_ids(ids, d_y.rows, d_table.rows, where_);
    for_row_ranges(context, d_table.size(), 1, kZeroGrain, [&](int64_t begin, int64_t end) {
      std::memset(d_table.f32() + begin, 0, static_cast<size_t>(end - begin) * sizeof(float));
    });
    const int64_t width = d_table.width;
    const auto add_columns = [&](int64_t begin, int64_t end) {
      for (int64_t r = 0; r < d_y.rows; ++r) {
        float* row = d_table.f32() + ids[r] * width;
        context.table->add(row + begin, d_y.f32() + r * width + begin, row + begin, end - begin);
      }
    };
    if (d_y.size() < kGatherGrain) return add_columns(0, width);
    context.pool->parallel_ranges(width, kColumnsOfTask,
                                  [&](int64_t begin, int64_t end, int) { add_columns(begin, end); });
  }

 private:
  ValueId ids_, d_y_, d_table_;
  std::string where_;
};

// A stable sort brings equal ids together in row order; each distinct id is summed by one task, so that sums do not
// depend on the number of threads.
class SumEqualRowsNode : public NodeKernel {
 public:
  explicit SumEqualRowsNode(const NodeBinding& binding)
      : ids_(binding.input(0)),
        d_y_(binding.input(1)),
        rows_(binding.output(0)),
        row_ids_(binding.output(1)),
        squares_(binding.output(2)),
        table_rows_(binding.attributes().get_int("table_rows")),
        where_(binding.node.name) {}

  void run(const RunContext& context) override {
    const int32_t* ids = context[ids_].i32();
    const Slot& d_y = context[d_y_];
    check_ids(ids, d_y.rows, table_rows_, where_);
    sort(ids, d_y.rows);
    const auto n_distinct = static_cast<int64_t>(begins_.size()) - 1;
    auto* row_ids = static_cast<int32_t*>(context[row_ids_].data);
    for (int64_t i = 0; i < d_y.rows; ++i) row_ids[i] = i < n_distinct ? ids[order_[begins_[i]]] : -1;
    row_squares_.assign(static_cast<size_t>(d_y.rows), 0);
    for_row_ranges(context, d_y.rows, d_y.width, kGatherGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sum_row(context, i, n_distinct);
    });
    double squares = 0;
    for (const double row : row_squares_) squares += row;
    context[squares_].f32()[0] = static_cast<float>(squares);
  }

 private:
  void sort(const int32_t* ids, int64_t n) {
    order_.resize(static_cast<size_t>(n));
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(), [ids](int32_t a, int32_t b) { return ids[a] < ids[b]; });
    begins_.clear();
    for (int64_t i = 0; i < n; ++i) {
      if (i == 0 || ids[order_[i]] != ids[order_[i - 1]]) begins_.push_back(static_cast<int32_t>(i));
    }
    begins_.push_back(static_cast<int32_t>(n));
  }

  void sum_row(const RunContext& context, int64_t i, int64_t n_distinct) {
    const Slot& d_y = context[d_y_];
    float* sum = context[rows_].f32() + i * d_y.width;
    const auto row_bytes = static_cast<size_t>(d_y.width) * sizeof(float);
    if (i >= n_distinct) {
      std::memset(sum, 0, row_bytes);
      return;
    }
    const auto row = [&](int32_t at) { return d_y.f32() + order_[at] * d_y.width; };
    std::memcpy(sum, row(begins_[i]), row_bytes);
    for (int32_t at = begins_[i] + 1; at < begins_[i + 1]; ++at) context.table->add(sum, row(at), sum, d_y.width);
    row_squares_[i] = context.table->sum_of_squares(sum, d_y.width);
  }

  ValueId ids_, d_y_, rows_, row_ids_, squares_;
  int64_t table_rows_;
  std::string where_;
  std::vector<int32_t> order_;   // rows of d_y by id
  std::vector<int32_t> begins_;  // where each distinct id begins in order_, and its end
  std::vector<double> row_squares_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_gather_rows(const NodeBinding& binding) {
  return std::make_unique<GatherNode>(binding);
}
std::unique_ptr<NodeKernel> make_embed_layer_norm(const NodeBinding& binding) {
  return std::make_unique<EmbedLayerNormNode>(binding);
}

std::unique_ptr<NodeKernel> make_scatter_rows(const NodeBinding& binding) {
  return std::make_unique<ScatterNode>(binding);
}
std::unique_ptr<NodeKernel> make_sum_equal_rows(const NodeBinding& binding) {
  return std::make_unique<SumEqualRowsNode>(binding);
}

}  // namespace fettle
