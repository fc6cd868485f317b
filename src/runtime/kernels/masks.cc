// Masks and gates on weights, as pruning in training puts them between parameters and products.
#include <algorithm>
#include <cmath>
#include <vector>

#include "graph/hard_concrete.h"
#include "graph/mask_blocks.h"
#include "runtime/kernels/masks.h"

namespace fettle {
namespace {

constexpr int64_t kCheapGrain = 32768;
constexpr int64_t kCostlyGrain = 8192;
// Sums are made block by block, so that they do not depend on the number of threads.
constexpr int64_t kSumBlock = 8192;

MaskBlocks blocks_of(const NodeBinding& binding) {
  const TensorType& type = binding.graph.type(binding.node.inputs[0]);
  return MaskBlocks::of(binding.attributes(), {type.shape[0].value, type.shape[1].value});
}

// out = in · mask along one row of the matrix.
void mask_row(const MaskBlocks& blocks, const float* in, const float* mask, float* out) {
  if (blocks.block_columns == 1) {
    for (int64_t c = 0; c < blocks.columns; ++c) out[c] = in[c] * mask[c];
    return;
  }
  for (int64_t c = 0; c < blocks.columns; ++mask) {
    const int64_t end = std::min(c + blocks.block_columns, blocks.columns);
    for (const float factor = *mask; c < end; ++c) out[c] = in[c] * factor;
  }
}

// sums[block] += Σ a · b along one row of the matrix.
void add_products(const MaskBlocks& blocks, const float* a, const float* b, float* sums) {
  if (blocks.block_columns == 1) {
    for (int64_t c = 0; c < blocks.columns; ++c) sums[c] += a[c] * b[c];
    return;
  }
  for (int64_t c = 0; c < blocks.columns; ++sums) {
    const int64_t end = std::min(c + blocks.block_columns, blocks.columns);
    float sum = 0;
    for (; c < end; ++c) sum += a[c] * b[c];
    *sums += sum;
  }
}

class MaskWeightNode : public NodeKernel {
 public:
  explicit MaskWeightNode(const NodeBinding& binding)
      : blocks_(blocks_of(binding)), weight_(binding.input(0)), mask_(binding.input(1)), y_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const float* weight = context[weight_].f32();
    const float* mask = context[mask_].f32();
    float* y = context[y_].f32();
    for_row_ranges(context, blocks_.rows, blocks_.columns, kCheapGrain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        mask_row(blocks_, weight + r * blocks_.columns, mask + r / blocks_.block_rows * blocks_.mask_columns(),
                 y + r * blocks_.columns);
      }
    });
  }

 private:
  MaskBlocks blocks_;
  ValueId weight_, mask_, y_;
};

class MaskWeightGradNode : public NodeKernel {
 public:
  explicit MaskWeightGradNode(const NodeBinding& binding)
      : blocks_(blocks_of(binding)),
        weight_(binding.input(0)),
        mask_(binding.input(1)),
        d_y_(binding.input(2)),
        d_weight_(binding.output(0)),
        d_mask_(binding.output(1)) {}

  void run(const RunContext& context) override {
    const float* weight = context[weight_].f32();
    const float* mask = context[mask_].f32();
    const float* d_y = context[d_y_].f32();
    float* d_weight = context[d_weight_].f32();
    float* d_mask = context[d_mask_].f32();
    const int64_t width = blocks_.mask_columns();
    const int64_t row_work = blocks_.block_rows * blocks_.columns;
    for_row_ranges(context, blocks_.mask_rows(), row_work, kCheapGrain, [&](int64_t begin, int64_t end) {
      for (int64_t m = begin; m < end; ++m) {
        std::fill_n(d_mask + m * width, width, 0.0f);
        const int64_t last = std::min((m + 1) * blocks_.block_rows, blocks_.rows);
        for (int64_t r = m * blocks_.block_rows; r < last; ++r) {
          const int64_t at = r * blocks_.columns;
          add_products(blocks_, d_y + at, weight + at, d_mask + m * width);
          mask_row(blocks_, d_y + at, mask + m * width, d_weight + at);
        }
      }
    });
  }

 private:
  MaskBlocks blocks_;
  ValueId weight_, mask_, d_y_, d_weight_, d_mask_;
};

// Gates s of a run, with noise or without; both directions draw the same.
class Gates {
 public:
  explicit Gates(const NodeBinding& binding)
      : gates_(HardConcrete<float>::of(binding.attributes())),
        stream_(static_cast<uint64_t>(binding.attributes().get_int("stream"))) {}

  const HardConcrete<float>& shape() const { return gates_; }
  float s(uint64_t seed, bool is_noisy, float log_alpha, int64_t index) const {
    if (!is_noisy) return gates_.quiet(log_alpha);
    return gates_.noisy(log_alpha, gate_noise(seed, stream_, static_cast<uint64_t>(index)));
  }

 private:
  HardConcrete<float> gates_;
  uint64_t stream_;
};

class HardConcreteNode : public NodeKernel {
 public:
  explicit HardConcreteNode(const NodeBinding& binding)
      : gates_(binding),
        log_alpha_(binding.input(0)),
        keep_(binding.input(1)),
        noise_(binding.input(2)),
        z_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const float* log_alpha = context[log_alpha_].f32();
    const float* keep = context[keep_].f32();
    const bool is_noisy = context[noise_].f32()[0] != 0;
    float* z = context[z_].f32();
    for_row_ranges(context, context[z_].size(), 1, kCostlyGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        z[i] = keep[i] * gates_.shape().gate(gates_.s(context.seed, is_noisy, log_alpha[i], i));
      }
    });
  }

 private:
  Gates gates_;
  ValueId log_alpha_, keep_, noise_, z_;
};

class HardConcreteGradNode : public NodeKernel {
 public:
  explicit HardConcreteGradNode(const NodeBinding& binding)
      : gates_(binding),
        log_alpha_(binding.input(0)),
        keep_(binding.input(1)),
        noise_(binding.input(2)),
        d_z_(binding.input(3)),
        d_(binding.output(0)) {}

  void run(const RunContext& context) override {
    const float* log_alpha = context[log_alpha_].f32();
    const float* keep = context[keep_].f32();
    const float* d_z = context[d_z_].f32();
    const bool is_noisy = context[noise_].f32()[0] != 0;
    float* d = context[d_].f32();
    for_row_ranges(context, context[d_].size(), 1, kCostlyGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float s = gates_.s(context.seed, is_noisy, log_alpha[i], i);
        d[i] = d_z[i] * keep[i] * gates_.shape().slope(s, is_noisy);
      }
    });
  }

 private:
  Gates gates_;
  ValueId log_alpha_, keep_, noise_, d_z_, d_;
};

float sigmoid(float x) {
  return 1 / (1 + std::exp(-x));
}

class SigmoidPenaltyNode : public NodeKernel {
 public:
  explicit SigmoidPenaltyNode(const NodeBinding& binding)
      : scores_(binding.input(0)),
        weight_(binding.input(1)),
        loss_(binding.output(0)),
        shift_(static_cast<float>(binding.attributes().get_double("shift", 0))) {}

  void run(const RunContext& context) override {
    const float* scores = context[scores_].f32();
    const int64_t n = context[scores_].size();
    const int64_t n_blocks = (n + kSumBlock - 1) / kSumBlock;
    sums_.resize(static_cast<size_t>(n_blocks));
    for_row_ranges(context, n_blocks, kSumBlock, kCostlyGrain, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        double sum = 0;
        const int64_t last = std::min((block + 1) * kSumBlock, n);
        for (int64_t i = block * kSumBlock; i < last; ++i) sum += static_cast<double>(sigmoid(scores[i] + shift_));
        sums_[static_cast<size_t>(block)] = sum;
      }
    });
    double sum = 0;
    for (const double block : sums_) sum += block;
    const double mean = n == 0 ? 0 : sum / static_cast<double>(n);
    context[loss_].f32()[0] = static_cast<float>(static_cast<double>(context[weight_].f32()[0]) * mean);
  }

 private:
  ValueId scores_, weight_, loss_;
  float shift_;
  std::vector<double> sums_;
};

class SigmoidPenaltyGradNode : public NodeKernel {
 public:
  explicit SigmoidPenaltyGradNode(const NodeBinding& binding)
      : scores_(binding.input(0)),
        weight_(binding.input(1)),
        d_loss_(binding.input(2)),
        d_(binding.output(0)),
        shift_(static_cast<float>(binding.attributes().get_double("shift", 0))) {}

  void run(const RunContext& context) override {
    const float* scores = context[scores_].f32();
    float* d = context[d_].f32();
    const int64_t n = context[scores_].size();
    const auto factor = static_cast<float>(static_cast<double>(context[weight_].f32()[0]) *
                                           static_cast<double>(context[d_loss_].f32()[0]) /
                                           static_cast<double>(std::max<int64_t>(1, n)));
    for_row_ranges(context, n, 1, kCostlyGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float s = sigmoid(scores[i] + shift_);
        d[i] = factor * s * (1 - s);
      }
    });
  }

 private:
  ValueId scores_, weight_, d_loss_, d_;
  float shift_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_mask_weight(const NodeBinding& binding) {
  return std::make_unique<MaskWeightNode>(binding);
}
std::unique_ptr<NodeKernel> make_mask_weight_grad(const NodeBinding& binding) {
  return std::make_unique<MaskWeightGradNode>(binding);
}
std::unique_ptr<NodeKernel> make_hard_concrete(const NodeBinding& binding) {
  return std::make_unique<HardConcreteNode>(binding);
}
std::unique_ptr<NodeKernel> make_hard_concrete_grad(const NodeBinding& binding) {
  return std::make_unique<HardConcreteGradNode>(binding);
}
std::unique_ptr<NodeKernel> make_sigmoid_penalty(const NodeBinding& binding) {
  return std::make_unique<SigmoidPenaltyNode>(binding);
}
std::unique_ptr<NodeKernel> make_sigmoid_penalty_grad(const NodeBinding& binding) {
  return std::make_unique<SigmoidPenaltyGradNode>(binding);
}

}  // namespace fettle
