#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "base/error.h"
#include "runtime/kernels/factories.h"

namespace fettle {
namespace {

constexpr int64_t kGatherGrain = 65536;
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
void gather_half(const Tensor& table, const int32_t* ids, int64_t rows, float* y, Widen widen) {
  const int64_t width = table.dim(1);
  for (int64_t r = 0; r < rows; ++r) {
    const uint16_t* row = table.data<uint16_t>() + ids[r] * width;
    for (int64_t c = 0; c < width; ++c) y[r * width + c] = widen(row[c]);
  }
}

// Rows of a stored table, taken from where they lie: of a large vocabulary only the rows in use are ever read.
class StoredGatherNode : public NodeKernel {
 public:
  explicit StoredGatherNode(const NodeBinding& binding)
      : table_(binding.parameters.stored(binding.node.inputs[0])),
        ids_(binding.input(1)),
        y_(binding.output(0)),
        where_(binding.node.name) {
    if (table_.encoding.kind == EncodingKind::kDense && table_.data.dtype() == DType::kF64)
      table_.data = table_.decode();
  }

  void run(const RunContext& context) override {
    const int32_t* ids = context[ids_].i32();
    const Slot& y = context[y_];
    check_ids(ids, y.rows, table_.shape[0], where_);
    for_row_ranges(context, y.rows, y.width, kGatherGrain, [&](int64_t begin, int64_t end) {
      gather(*context.table, ids + begin, end - begin, y.width, y.f32() + begin * y.width);
    });
  }

 private:
  void gather(const KernelTable& table, const int32_t* ids, int64_t rows, int64_t width, float* y) const {
    if (table_.encoding.kind == EncodingKind::kIntChannel) {
      return table.gather_int8(table_.data.data<int8_t>(), table_.scales.data<float>(), ids, rows, width, y);
    }
    if (table_.data.dtype() == DType::kF32) return table.gather(table_.data.data<float>(), ids, rows, width, y);
    if (table_.data.dtype() == DType::kBF16) return gather_half(table_.data, ids, rows, y, widen_bf16);
    gather_half(table_.data, ids, rows, y, f16_to_f32);
  }

  EncodedTensor table_;
  ValueId ids_, y_;
  std::string where_;
};

class GatherNode : public NodeKernel {
 public:
  explicit GatherNode(const NodeBinding& binding)
      : table_(binding.input(0)), ids_(binding.input(1)), y_(binding.output(0)), where_(binding.node.name) {}

  void run(const RunContext& context) override {
    const Slot& table = context[table_];
    const int32_t* ids = context[ids_].i32();
    const Slot& y = context[y_];
    check_ids(ids, y.rows, table.rows, where_);
    for_row_ranges(context, y.rows, y.width, kGatherGrain, [&](int64_t begin, int64_t end) {
      context.table->gather(table.f32(), ids + begin, end - begin, y.width, y.f32() + begin * y.width);
    });
  }

 private:
  ValueId table_, ids_, y_;
  std::string where_;
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

}  // namespace

std::unique_ptr<NodeKernel> make_gather_rows(const NodeBinding& binding) {
  if (binding.is_constant(0)) return std::make_unique<StoredGatherNode>(binding);
  return std::make_unique<GatherNode>(binding);
}

std::unique_ptr<NodeKernel> make_scatter_rows(const NodeBinding& binding) {
  return std::make_unique<ScatterNode>(binding);
}

}  // namespace fettle
