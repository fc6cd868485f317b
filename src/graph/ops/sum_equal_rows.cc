// The gradient of a table that was looked up, without its rows of zeros: the distinct ids in rising order, and for each
// the sum of its rows. What scatter_rows spreads over a table of n rows, here in as many rows as were looked up.
#include <algorithm>

#include "graph/infer.h"
#include "graph/reference.h"

namespace fettle {
namespace {

class SumEqualRows final : public Op {
 public:
  std::string_view name() const override { return "sum_equal_rows"; }

  std::vector<TensorType> infer(const NodeView& view) const override {
    TypeCheck check(view, 2);
    const TensorType& ids = check.indices(0);
    const TensorType& d_y = check.floats(1, 2);
    check.same_dim(ids.shape[0], d_y.shape[0], "rows of ids and d_y");
    if (check.integer("table_rows", 1) > INT32_MAX) check.fail("'table_rows' does not fit an id");
    return {d_y, ids, {d_y.dtype, {Graph::constant_dim(1)}}};
  }

  void reference(EvalContext& context) const override {
    const int32_t* ids = context.inputs[0].data<int32_t>();
    const std::vector<double> d_y = load_values(context.inputs[1]);
    const int64_t rows = context.inputs[1].dim(0);
    const int64_t width = context.inputs[1].dim(1);
    std::vector<int32_t> distinct;
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t limit = context.view.attributes().get_int("table_rows");
      distinct.push_back(static_cast<int32_t>(checked_id(ids[r], limit, node_label(context.view.node))));
    }
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    std::vector<double> sums(d_y.size());
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t at = std::lower_bound(distinct.begin(), distinct.end(), ids[r]) - distinct.begin();
      for (int64_t c = 0; c < width; ++c)
        sums[static_cast<size_t>(at * width + c)] += d_y[static_cast<size_t>(r * width + c)];
    }
    double squares = 0;
    for (const double value : sums) squares += value * value;
    distinct.resize(static_cast<size_t>(rows), -1);
    store_values(sums, context.outputs[0]);
    std::copy(distinct.begin(), distinct.end(), context.outputs[1].mutable_data<int32_t>());
    store_values(std::span(&squares, 1), context.outputs[2]);
  }

  Cost cost(const NodeView& view, const SymbolBindings& bindings) const override {
    return {.flops = 3 * bound_elements(view.input_type(1), bindings), .bytes = bytes_touched(view, bindings)};
  }
};

}  // namespace

const Op& sum_equal_rows_op() {
  static const SumEqualRows op;
  return op;
}

}  // namespace fettle
