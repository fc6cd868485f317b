// Fake quantization, as training for few bits puts it between parameters or activations and products.
#include "runtime/kernels/fake_quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph/fake_quantize.h"

namespace fettle {
namespace {

constexpr int64_t kGrain = 16384;

// Four floats at a time on any processor.
using Lanes = float __attribute__((vector_size(16)));
constexpr int64_t kLanes = 4;

Lanes load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

void store(const Lanes& lanes, float* to) {
  std::memcpy(to, &lanes, sizeof lanes);
}

Lanes nearest(const Lanes& x) {
  constexpr float kShift = 12582912.0f;  // round_even()
  return (x + kShift) - kShift;
}

// Steps and zero points of a node in one run.
class Steps {
 public:
  Steps(const FakeQuantize& shape, const float* steps, const float* zeros)
      : shape_(shape), steps_(steps), zeros_(zeros) {}

  FakeRange<float> operator[](int64_t block) const {
    const float zero = zeros_ != nullptr ? zeros_[block] : 0.0f;
    return {shape_.stored(steps_[block]), static_cast<float>(shape_.lowest) - zero,
            static_cast<float>(shape_.highest) - zero};
  }

 private:
  const FakeQuantize& shape_;
  const float* steps_;
  const float* zeros_;
};

float largest_magnitude(const float* x, int64_t n) {
  Lanes most{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes v = load(x + i);
    const Lanes magnitude = v < Lanes{} ? -v : v;
    most = magnitude > most ? magnitude : most;
  }
  float largest = std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
  for (; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  return largest;
}

void quantize_span(const FakeRange<float>& range, const float* x, int64_t n, float* y) {
  const Lanes step = range.step - Lanes{};
  const Lanes lowest = range.lowest - Lanes{};
  const Lanes highest = range.highest - Lanes{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes v = load(x + i) / step;
    v = v < lowest ? lowest : v;
    v = v > highest ? highest : v;
    store(nearest(v) * step, y + i);
  }
  for (; i < n; ++i) y[i] = range.value(x[i]);
}

// d_x of a part of a row; returns the sum of d_y · slope, added lane by lane.
float grad_span(const FakeRange<float>& range, const float* x, const float* d_y, int64_t n, float* d_x) {
  const Lanes step = range.step - Lanes{};
  const Lanes lowest = range.lowest - Lanes{};
  const Lanes highest = range.highest - Lanes{};
  Lanes sums{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes v = load(x + i) / step;
    const Lanes low = v < lowest ? lowest : v;
    const Lanes cut = low > highest ? highest : low;
    const Lanes d = load(d_y + i);
    const auto is_inside = cut == v;
    sums += d * (is_inside ? nearest(v) - v : cut);
    store(is_inside ? d : Lanes{}, d_x + i);
  }
  float sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  for (; i < n; ++i) {
    const FakeRange<float>::Slopes slopes = range.slopes(x[i]);
    sum += d_y[i] * slopes.of_step;
    d_x[i] = slopes.inside ? d_y[i] : 0.0f;
  }
  return sum;
}

class FakeQuantizeNode : public NodeKernel {
 public:
  explicit FakeQuantizeNode(const NodeBinding& binding)
      : shape_(FakeQuantize::of(binding.attributes())),
        x_(binding.input(0)),
        steps_(binding.input(1)),
        zeros_(binding.input(2)),
        y_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const float* x = context[x_].f32();
    float* y = context[y_].f32();
    const MaskBlocks blocks = shape_.blocks(context[x_].rows, context[x_].width);
    const Steps steps(shape_, context[steps_].f32(), zeros_ == kNoValue ? nullptr : context[zeros_].f32());
    for_row_ranges(context, blocks.rows, blocks.columns, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        int64_t block = r / blocks.block_rows * blocks.mask_columns();
        for (int64_t c = 0; c < blocks.columns; c += blocks.block_columns, ++block) {
          const int64_t at = r * blocks.columns + c;
          quantize_span(steps[block], x + at, std::min(blocks.block_columns, blocks.columns - c), y + at);
        }
      }
    });
  }

 private:
  FakeQuantize shape_;
  ValueId x_, steps_, zeros_, y_;
};

class FakeQuantizeGradNode : public NodeKernel {
 public:
  explicit FakeQuantizeGradNode(const NodeBinding& binding)
      : shape_(FakeQuantize::of(binding.attributes())),
        x_(binding.input(0)),
        steps_(binding.input(1)),
        d_y_(binding.input(2)),
        zeros_(binding.input(3)),
        d_x_(binding.output(0)),
        d_steps_(binding.output(1)) {}

  // Each block of rows belongs to one task, which adds its sums in order.
  void run(const RunContext& context) override {
    const float* x = context[x_].f32();
    const float* d_y = context[d_y_].f32();
    float* d_x = context[d_x_].f32();
    float* d_steps = context[d_steps_].f32();
    const MaskBlocks blocks = shape_.blocks(context[x_].rows, context[x_].width);
    const Steps steps(shape_, context[steps_].f32(), zeros_ == kNoValue ? nullptr : context[zeros_].f32());
    const int64_t width = blocks.mask_columns();
    const auto scale = static_cast<float>(shape_.gradient_scale);
    std::fill_n(d_steps, blocks.mask_rows() * width, 0.0f);
    for_row_ranges(context, blocks.mask_rows(), blocks.block_rows * blocks.columns, kGrain,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t m = begin; m < end; ++m) {
                       const int64_t last = std::min((m + 1) * blocks.block_rows, blocks.rows);
                       for (int64_t r = m * blocks.block_rows; r < last; ++r) {
                         int64_t block = m * width;
                         for (int64_t c = 0; c < blocks.columns; c += blocks.block_columns, ++block) {
                           const int64_t at = r * blocks.columns + c;
                           const int64_t n = std::min(blocks.block_columns, blocks.columns - c);
                           d_steps[block] += grad_span(steps[block], x + at, d_y + at, n, d_x + at);
                         }
                       }
                       for (int64_t b = m * width; b < (m + 1) * width; ++b) d_steps[b] *= scale;
                     }
                   });
  }

 private:
  FakeQuantize shape_;
  ValueId x_, steps_, d_y_, zeros_, d_x_, d_steps_;
};

class FakeQuantizeRowsNode : public NodeKernel {
 public:
  explicit FakeQuantizeRowsNode(const NodeBinding& binding)
      : highest_(static_cast<float>(binding.attributes().get_int("highest", 127))),
        x_(binding.input(0)),
        y_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const float* x = context[x_].f32();
    float* y = context[y_].f32();
    const int64_t width = context[x_].width;
    for_row_ranges(context, context[x_].rows, width, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float* row = x + r * width;
        const FakeRange<float> range{largest_magnitude(row, width) / highest_, -highest_, highest_};
        if (range.step > 0) {
          quantize_span(range, row, width, y + r * width);
        } else {
          std::copy_n(row, width, y + r * width);
        }
      }
    });
  }

 private:
  float highest_;
  ValueId x_, y_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_fake_quantize(const NodeBinding& binding) {
  return std::make_unique<FakeQuantizeNode>(binding);
}
std::unique_ptr<NodeKernel> make_fake_quantize_grad(const NodeBinding& binding) {
  return std::make_unique<FakeQuantizeGradNode>(binding);
}
std::unique_ptr<NodeKernel> make_fake_quantize_rows(const NodeBinding& binding) {
  return std::make_unique<FakeQuantizeRowsNode>(binding);
}

}  // namespace fettle
