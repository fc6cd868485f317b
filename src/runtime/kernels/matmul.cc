#include <algorithm>

#include "runtime/kernels/factories.h"

namespace fettle {
namespace {

constexpr int64_t kTasksOfSum = 8;
constexpr int64_t kFewestColumnsOfTask = 64;
constexpr int64_t kElementsWorthTasks = 32768;

class MatmulNode : public NodeKernel {
 public:
  explicit MatmulNode(const NodeBinding& binding)
      : a_(binding.input(0)),
        b_(binding.input(1)),
        c_(binding.output(0)),
        squares_(binding.output_if_used(1)),
        transpose_a_(binding.attributes().get_bool("transpose_a", false)),
        transpose_b_(binding.attributes().get_bool("transpose_b", false)),
        precision_(binding.options.precision) {}

  void run(const RunContext& context) override {
    const Slot& a = context[a_];
    const Slot& b = context[b_];
    const Slot& c = context[c_];
    double squares = 0;
    const Matmul product{.m = c.rows,
                         .n = c.width,
                         .k = transpose_a_ ? a.rows : a.width,
                         .a = a.f32(),
                         .lda = a.width,
                         .transpose_a = transpose_a_,
                         .b = b.f32(),
                         .ldb = b.width,
                         .transpose_b = transpose_b_,
                         .c = c.f32(),
                         .ldc = c.width,
                         .sum_of_squares = squares_ == kNoValue ? nullptr : &squares};
    const auto multiply = precision_ == Precision::kBF16 ? context.table->matmul_bf16 : context.table->matmul_f32;
    if (c.size() > 0) multiply(product, *context.pool);
    if (squares_ != kNoValue) *context[squares_].f32() = static_cast<float>(squares);
  }

 private:
  ValueId a_, b_, c_, squares_;
  bool transpose_a_, transpose_b_;
  Precision precision_;
};

class SumRowsNode : public NodeKernel {
 public:
  explicit SumRowsNode(const NodeBinding& binding) : x_(binding.input(0)), y_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    float* y = context[y_].f32();
    const auto sum = [&](int64_t begin, int64_t end) {
      context.table->sum_rows(x.f32(), x.rows, x.width, y, begin, end);
    };
    if (x.size() < kElementsWorthTasks) return sum(0, x.width);
    // Wide enough to read whole stretches of each row.
    const int64_t columns = std::max(kFewestColumnsOfTask, x.width / kTasksOfSum);
    context.pool->parallel_ranges(x.width, columns, [&](int64_t begin, int64_t end, int) { sum(begin, end); });
  }

 private:
  ValueId x_, y_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_matmul(const NodeBinding& binding) {
  return std::make_unique<MatmulNode>(binding);
}
std::unique_ptr<NodeKernel> make_sum_rows(const NodeBinding& binding) {
  return std::make_unique<SumRowsNode>(binding);
}

}  // namespace fettle
