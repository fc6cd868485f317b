#include <algorithm>

#include "runtime/kernels/factories.h"

namespace fettle {
namespace {

constexpr int64_t kNormGrain = 16384;
constexpr int64_t kRowsFed = 4;  // that are prepared at a time, out of the first-level cache

float* data_or_null(const RunContext& context, ValueId id) {
  return id == kNoValue ? nullptr : context[id].f32();
}

class LayerNormNode : public NodeKernel {
 public:
  explicit LayerNormNode(const NodeBinding& binding)
      : x_(binding.input(0)),
        gamma_(binding.input(1)),
        beta_(binding.input(2)),
        residual_(binding.input(3)),
        y_(binding.output(0)),
        mean_(binding.output_if_used(1)),
        rstd_(binding.output_if_used(2)),
        eps_(static_cast<float>(binding.attributes().get_double("eps"))) {}

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    const LayerNorm args{.x = x.f32(),
                         .residual = data_or_null(context, residual_),
                         .gamma = context[gamma_].f32(),
                         .beta = context[beta_].f32(),
                         .eps = eps_,
                         .width = x.width,
                         .y = context[y_].f32(),
                         .mean = data_or_null(context, mean_),
                         .rstd = data_or_null(context, rstd_)};
    feed_.begin(x.rows);
    for_row_ranges(context, x.rows, x.width, kNormGrain, [&](int64_t begin, int64_t end) {
      if (!feed_.is_connected()) return context.table->layer_norm(args, begin, end);
      for (int64_t row = begin; row < end; row += kRowsFed) {
        const int64_t row_end = std::min(row + kRowsFed, end);
        context.table->layer_norm(args, row, row_end);
        feed_.wrote(args.y, x.width, row, row_end);
      }
    });
    feed_.finish();
  }
  bool can_feed(ValueId value) const override { return value == y_; }
  void feed(const PackedLinear* linear, FedRows* fed) override { feed_.connect(linear, fed); }

 private:
  ValueId x_, gamma_, beta_, residual_, y_, mean_, rstd_;
  float eps_;
  RowFeed feed_;
};

class LayerNormGradNode : public NodeKernel {
 public:
  explicit LayerNormGradNode(const NodeBinding& binding)
      : x_(binding.input(0)),
        d_y_(binding.input(1)),
        gamma_(binding.input(2)),
        mean_(binding.input(3)),
        rstd_(binding.input(4)),
        d_x_(binding.output(0)),
        d_gamma_(binding.output_if_used(1)),
        d_beta_(binding.output_if_used(2)) {}

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    context.table->layer_norm_grad({.x = x.f32(),
                                    .d_y = context[d_y_].f32(),
                                    .gamma = context[gamma_].f32(),
                                    .mean = context[mean_].f32(),
                                    .rstd = context[rstd_].f32(),
                                    .rows = x.rows,
                                    .width = x.width,
                                    .d_x = context[d_x_].f32(),
                                    .d_gamma = data_or_null(context, d_gamma_),
                                    .d_beta = data_or_null(context, d_beta_)},
                                   *context.pool);
  }

 private:
  ValueId x_, d_y_, gamma_, mean_, rstd_, d_x_, d_gamma_, d_beta_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_layer_norm(const NodeBinding& binding) {
  return std::make_unique<LayerNormNode>(binding);
}
std::unique_ptr<NodeKernel> make_layer_norm_grad(const NodeBinding& binding) {
  return std::make_unique<LayerNormGradNode>(binding);
}

}  // namespace fettle
