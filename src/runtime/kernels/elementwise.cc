#include "runtime/kernels/factories.h"

namespace fettle {
namespace {

// Elements of one task: enough to outweigh handing it to another thread.
constexpr int64_t kCheapGrain = 32768;
constexpr int64_t kCostlyGrain = 8192;

class AddNode : public NodeKernel {
 public:
  explicit AddNode(const NodeBinding& binding) : a_(binding.input(0)), b_(binding.input(1)), y_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const float* a = context[a_].f32();
    const float* b = context[b_].f32();
    float* y = context[y_].f32();
    for_row_ranges(context, context[y_].size(), 1, kCheapGrain, [&](int64_t begin, int64_t end) {
      context.table->add(a + begin, b + begin, y + begin, end - begin);
    });
  }

 private:
  ValueId a_, b_, y_;
};

class ScaleNode : public NodeKernel {
 public:
  explicit ScaleNode(const NodeBinding& binding)
      : x_(binding.input(0)),
        y_(binding.output(0)),
        factor_(static_cast<float>(binding.attributes().get_double("factor"))) {}

  void run(const RunContext& context) override {
    const float* x = context[x_].f32();
    float* y = context[y_].f32();
    for_row_ranges(context, context[y_].size(), 1, kCheapGrain, [&](int64_t begin, int64_t end) {
      context.table->scale(x + begin, factor_, y + begin, end - begin);
    });
  }

 private:
  ValueId x_, y_;
  float factor_;
};

class ActivateNode : public NodeKernel {
 public:
  explicit ActivateNode(const NodeBinding& binding)
      : x_(binding.input(0)),
        y_(binding.output(0)),
        kind_(parse_activation(binding.attributes().get_string("kind", "none"))) {}

  void run(const RunContext& context) override {
    const float* x = context[x_].f32();
    float* y = context[y_].f32();
    for_row_ranges(context, context[y_].size(), 1, kCostlyGrain, [&](int64_t begin, int64_t end) {
      context.table->activate(kind_, x + begin, y + begin, end - begin);
    });
  }

 private:
  ValueId x_, y_;
  Activation kind_;
};

class ActivateGradNode : public NodeKernel {
 public:
  explicit ActivateGradNode(const NodeBinding& binding)
      : x_(binding.input(0)),
        d_y_(binding.input(1)),
        d_x_(binding.output(0)),
        kind_(parse_activation(binding.attributes().get_string("kind", "none"))) {}

  void run(const RunContext& context) override {
    const float* x = context[x_].f32();
    const float* d_y = context[d_y_].f32();
    float* d_x = context[d_x_].f32();
    for_row_ranges(context, context[d_x_].size(), 1, kCostlyGrain, [&](int64_t begin, int64_t end) {
      context.table->activate_grad(kind_, x + begin, d_y + begin, d_x + begin, end - begin);
    });
  }

 private:
  ValueId x_, d_y_, d_x_;
  Activation kind_;
};

class DropoutNode : public NodeKernel {
 public:
  explicit DropoutNode(const NodeBinding& binding)
      : x_(binding.input(0)),
        y_(binding.output(0)),
        p_(static_cast<float>(binding.attributes().get_double("p"))),
        stream_(static_cast<uint64_t>(binding.attributes().get_int("stream"))) {}

  void run(const RunContext& context) override {
    const float* x = context[x_].f32();
    float* y = context[y_].f32();
    for_row_ranges(context, context[y_].size(), 1, kCostlyGrain, [&](int64_t begin, int64_t end) {
      context.table->dropout(x + begin, y + begin, end - begin, p_, context.seed, stream_,
                             static_cast<uint64_t>(begin));
    });
  }

 private:
  ValueId x_, y_;
  float p_;
  uint64_t stream_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_add(const NodeBinding& binding) {
  return std::make_unique<AddNode>(binding);
}
std::unique_ptr<NodeKernel> make_scale(const NodeBinding& binding) {
  return std::make_unique<ScaleNode>(binding);
}
std::unique_ptr<NodeKernel> make_activate(const NodeBinding& binding) {
  return std::make_unique<ActivateNode>(binding);
}
std::unique_ptr<NodeKernel> make_activate_grad(const NodeBinding& binding) {
  return std::make_unique<ActivateGradNode>(binding);
}
std::unique_ptr<NodeKernel> make_dropout(const NodeBinding& binding) {
  return std::make_unique<DropoutNode>(binding);
}

}  // namespace fettle
