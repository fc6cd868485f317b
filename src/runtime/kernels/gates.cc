// Gates on groups of columns, one row of them for each sequence.
#include "runtime/kernels/gates.h"

#include <algorithm>

namespace fettle {
namespace {

class ScaleGroupsNode : public NodeKernel {
 public:
  explicit ScaleGroupsNode(const NodeBinding& binding)
      : x_(binding.input(0)), gates_(binding.input(1)), offsets_(binding.input(2)), y_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    const Slot& gates = context[gates_];
    const int32_t* offsets = context[offsets_].i32();
    float* y = context[y_].f32();
    const int64_t group_width = x.width / gates.width;
    const auto run_sequence = [&](int64_t s) {
      const float* gate = gates.f32() + s * gates.width;
      for (int64_t r = offsets[s]; r < offsets[s + 1]; ++r) {
        const float* from = x.f32() + r * x.width;
        float* to = y + r * x.width;
        if (group_width == 1) {
          for (int64_t c = 0; c < x.width; ++c) to[c] = from[c] * gate[c];
          continue;
        }
        for (int64_t c = 0; c < x.width; ++c) to[c] = from[c] * gate[c / group_width];
      }
    };
    context.pool->parallel_for(gates.rows, [&](int64_t s, int) { run_sequence(s); });
  }

 private:
  ValueId x_, gates_, offsets_, y_;
};

// Each sequence by itself, its rows in order: the same bits on any number of threads.
class ScaleGroupsGradNode : public NodeKernel {
 public:
  explicit ScaleGroupsGradNode(const NodeBinding& binding)
      : x_(binding.input(0)), d_y_(binding.input(1)), offsets_(binding.input(2)), d_gates_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const Slot& x = context[x_];
    const float* d_y = context[d_y_].f32();
    const int32_t* offsets = context[offsets_].i32();
    const Slot& out = context[d_gates_];
    const int64_t group_width = x.width / out.width;
    const auto run_sequence = [&](int64_t s) {
      float* d = out.f32() + s * out.width;
      std::fill(d, d + out.width, 0.0f);
      for (int64_t r = offsets[s]; r < offsets[s + 1]; ++r) {
        const float* a = x.f32() + r * x.width;
        const float* b = d_y + r * x.width;
        for (int64_t g = 0; g < out.width; ++g) {
          float sum = 0;
          for (int64_t c = g * group_width; c < (g + 1) * group_width; ++c) sum += a[c] * b[c];
          d[g] += sum;
        }
      }
    };
    context.pool->parallel_for(out.rows, [&](int64_t s, int) { run_sequence(s); });
  }

 private:
  ValueId x_, d_y_, offsets_, d_gates_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_scale_groups(const NodeBinding& binding) {
  return std::make_unique<ScaleGroupsNode>(binding);
}
std::unique_ptr<NodeKernel> make_scale_groups_grad(const NodeBinding& binding) {
  return std::make_unique<ScaleGroupsGradNode>(binding);
}

}  // namespace fettle
