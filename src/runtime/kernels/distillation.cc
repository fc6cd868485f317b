// Losses between a student and its teacher: of logits, of hidden states.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "runtime/kernels/factories.h"

namespace fettle {
namespace {

constexpr int64_t kSoftmaxGrain = 8192;
constexpr int64_t kCheapGrain = 32768;
// Sums are made block by block, so that they do not depend on the number of threads.
constexpr int64_t kSumBlock = 8192;
constexpr int64_t kPiece = 512;
constexpr float kCosineEps = 1e-12f;

// Σ (a - b)² in double, in fixed order.
double sum_of_squared_differences(const KernelTable& table, const float* a, const float* b, int64_t n) {
  std::array<float, kPiece> differences;
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t count = std::min(kPiece, n - begin);
    for (int64_t i = 0; i < count; ++i) differences[static_cast<size_t>(i)] = a[begin + i] - b[begin + i];
    sum += table.sum_of_squares(differences.data(), count);
  }
  return sum;
}

class MeanSquaredErrorNode : public NodeKernel {
 public:
  explicit MeanSquaredErrorNode(const NodeBinding& binding)
      : a_(binding.input(0)), b_(binding.input(1)), loss_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const float* a = context[a_].f32();
    const float* b = context[b_].f32();
    const int64_t n = context[a_].size();
    const int64_t n_blocks = (n + kSumBlock - 1) / kSumBlock;
    sums_.resize(static_cast<size_t>(n_blocks));
    for_row_ranges(context, n_blocks, kSumBlock, kCheapGrain, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = block * kSumBlock;
        sums_[static_cast<size_t>(block)] =
            sum_of_squared_differences(*context.table, a + first, b + first, std::min(kSumBlock, n - first));
      }
    });
    double sum = 0;
    for (const double block : sums_) sum += block;
    context[loss_].f32()[0] = n == 0 ? 0.0f : static_cast<float>(sum / static_cast<double>(n));
  }

 private:
  ValueId a_, b_, loss_;
  std::vector<double> sums_;
};

class MeanSquaredErrorGradNode : public NodeKernel {
 public:
  explicit MeanSquaredErrorGradNode(const NodeBinding& binding)
      : a_(binding.input(0)), b_(binding.input(1)), d_loss_(binding.input(2)), d_a_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const float* a = context[a_].f32();
    const float* b = context[b_].f32();
    float* d_a = context[d_a_].f32();
    const int64_t n = context[a_].size();
    const auto factor = static_cast<float>(2.0 * static_cast<double>(context[d_loss_].f32()[0]) /
                                           static_cast<double>(std::max<int64_t>(1, n)));
    for_row_ranges(context, n, 1, kCheapGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) d_a[i] = factor * (a[i] - b[i]);
    });
  }

 private:
  ValueId a_, b_, d_loss_, d_a_;
};

// Rows of student and teacher divided by the temperature, one pair at a time.
class SoftenedRows {
 public:
  explicit SoftenedRows(const NodeBinding& binding)
      : student_(binding.input(0)),
        teacher_(binding.input(1)),
        inverse_temperature_(static_cast<float>(1 / binding.attributes().get_double("temperature"))) {}

  const Slot& shape(const RunContext& context) const { return context[student_]; }
  void student(const RunContext& context, int64_t row, float* out) const { soften(context, student_, row, out); }
  void teacher(const RunContext& context, int64_t row, float* out) const { soften(context, teacher_, row, out); }

 private:
  void soften(const RunContext& context, ValueId from, int64_t row, float* out) const {
    const Slot& x = context[from];
    context.table->scale(x.f32() + row * x.width, inverse_temperature_, out, x.width);
  }

  ValueId student_, teacher_;
  float inverse_temperature_;
};

class DistillationLossNode : public NodeKernel {
 public:
  explicit DistillationLossNode(const NodeBinding& binding)
      : rows_(binding), loss_(binding.output(0)), temperature_(binding.attributes().get_double("temperature")) {}

  void run(const RunContext& context) override {
    const Slot& shape = rows_.shape(context);
    row_losses_.resize(static_cast<size_t>(shape.rows));
    for_row_ranges(context, shape.rows, shape.width, kSoftmaxGrain, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(static_cast<size_t>(3 * shape.width));
      for (int64_t r = begin; r < end; ++r) row_losses_[static_cast<size_t>(r)] = divergence(context, r, scratch);
    });
    double sum = 0;
    for (const double row : row_losses_) sum += row;
    const double mean = shape.rows == 0 ? 0 : sum / static_cast<double>(shape.rows);
    context[loss_].f32()[0] = static_cast<float>(temperature_ * temperature_ * mean);
  }

 private:
  double divergence(const RunContext& context, int64_t row, std::vector<float>& scratch) const {
    const int64_t width = rows_.shape(context).width;
    float* log_q = scratch.data();
    float* log_p = log_q + width;
    float* p = log_p + width;
    rows_.student(context, row, log_q);
    rows_.teacher(context, row, log_p);
    std::copy_n(log_p, width, p);
    context.table->log_softmax(log_q, 1, width);
    context.table->log_softmax(log_p, 1, width);
    context.table->softmax(p, 1, width);
    double sum = 0;
    for (int64_t c = 0; c < width; ++c) sum += static_cast<double>(p[c]) * (static_cast<double>(log_p[c]) - log_q[c]);
    return sum;
  }

  SoftenedRows rows_;
  ValueId loss_;
  double temperature_;
  std::vector<double> row_losses_;
};

class DistillationLossGradNode : public NodeKernel {
 public:
  explicit DistillationLossGradNode(const NodeBinding& binding)
      : rows_(binding),
        d_loss_(binding.input(2)),
        d_student_(binding.output(0)),
        temperature_(binding.attributes().get_double("temperature")) {}

  void run(const RunContext& context) override {
    const Slot& d = context[d_student_];
    const auto factor = static_cast<float>(temperature_ * static_cast<double>(context[d_loss_].f32()[0]) /
                                           static_cast<double>(std::max<int64_t>(1, d.rows)));
    for_row_ranges(context, d.rows, d.width, kSoftmaxGrain, [&](int64_t begin, int64_t end) {
      std::vector<float> p(static_cast<size_t>(d.width));
      for (int64_t r = begin; r < end; ++r) {
        float* row = d.f32() + r * d.width;
        rows_.student(context, r, row);
        rows_.teacher(context, r, p.data());
        context.table->softmax(row, 1, d.width);
        context.table->softmax(p.data(), 1, d.width);
        for (int64_t c = 0; c < d.width; ++c) row[c] = factor * (row[c] - p[static_cast<size_t>(c)]);
      }
    });
  }

 private:
  SoftenedRows rows_;
  ValueId d_loss_, d_student_;
  double temperature_;
};

struct RowProducts {
  double dot = 0;
  double xx = kCosineEps;
  double yy = kCosineEps;
};

RowProducts row_products(const float* x, const float* y, int64_t n) {
  constexpr int64_t kLanes = 8;
  double dot[kLanes] = {};
  double xx[kLanes] = {};
  double yy[kLanes] = {};
  const int64_t whole = n / kLanes * kLanes;
  for (int64_t c = 0; c < whole; c += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const double a = x[c + lane];
      const double b = y[c + lane];
      dot[lane] += a * b;
      xx[lane] += a * a;
      yy[lane] += b * b;
    }
  }
  RowProducts result;
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    result.dot += dot[lane];
    result.xx += xx[lane];
    result.yy += yy[lane];
  }
  for (int64_t c = whole; c < n; ++c) {
    const double a = x[c];
    const double b = y[c];
    result.dot += a * b;
    result.xx += a * a;
    result.yy += b * b;
  }
  return result;
}

class CosineLossNode : public NodeKernel {
 public:
  explicit CosineLossNode(const NodeBinding& binding)
      : x_(binding.input(0)), y_(binding.input(1)), loss_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    const Slot& y = context[y_];
    row_losses_.resize(static_cast<size_t>(x.rows));
    for_row_ranges(context, x.rows, x.width, kCheapGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const RowProducts row = row_products(x.f32() + r * x.width, y.f32() + r * x.width, x.width);
        row_losses_[static_cast<size_t>(r)] = 1 - row.dot / std::sqrt(row.xx * row.yy);
      }
    });
    double sum = 0;
    for (const double row : row_losses_) sum += row;
    context[loss_].f32()[0] = x.rows == 0 ? 0.0f : static_cast<float>(sum / static_cast<double>(x.rows));
  }

 private:
  ValueId x_, y_, loss_;
  std::vector<double> row_losses_;
};

class CosineLossGradNode : public NodeKernel {
 public:
  explicit CosineLossGradNode(const NodeBinding& binding)
      : x_(binding.input(0)), y_(binding.input(1)), d_loss_(binding.input(2)), d_x_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    const double factor =
        static_cast<double>(context[d_loss_].f32()[0]) / static_cast<double>(std::max<int64_t>(1, x.rows));
    for_row_ranges(context, x.rows, x.width, kCheapGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float* a = x.f32() + r * x.width;
        const float* b = context[y_].f32() + r * x.width;
        float* d = context[d_x_].f32() + r * x.width;
        const RowProducts row = row_products(a, b, x.width);
        const double lengths = std::sqrt(row.xx * row.yy);
        const auto of_a = static_cast<float>(factor * row.dot / lengths / row.xx);
        const auto of_b = static_cast<float>(factor / lengths);
        for (int64_t c = 0; c < x.width; ++c) d[c] = of_a * a[c] - of_b * b[c];
      }
    });
  }

 private:
  ValueId x_, y_, d_loss_, d_x_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_mean_squared_error(const NodeBinding& binding) {
  return std::make_unique<MeanSquaredErrorNode>(binding);
}
std::unique_ptr<NodeKernel> make_mean_squared_error_grad(const NodeBinding& binding) {
  return std::make_unique<MeanSquaredErrorGradNode>(binding);
}
std::unique_ptr<NodeKernel> make_distillation_loss(const NodeBinding& binding) {
  return std::make_unique<DistillationLossNode>(binding);
}
std::unique_ptr<NodeKernel> make_distillation_loss_grad(const NodeBinding& binding) {
  return std::make_unique<DistillationLossGradNode>(binding);
}
std::unique_ptr<NodeKernel> make_cosine_loss(const NodeBinding& binding) {
  return std::make_unique<CosineLossNode>(binding);
}
std::unique_ptr<NodeKernel> make_cosine_loss_grad(const NodeBinding& binding) {
  return std::make_unique<CosineLossGradNode>(binding);
}

}  // namespace fettle
