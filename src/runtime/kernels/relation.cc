// Relations between the tokens of a sequence: how far the student's are from the teacher's.
#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/kernels/factories.h"

namespace fettle {
namespace {

// Multiply-adds of one task.
constexpr int64_t kGrain = 1 << 17;

// Calls fn(begin, end, worker) on ranges of sequences.
void for_sequences(const RunContext& context, int64_t n_sequences, int64_t width,
                   FunctionRef<void(int64_t begin, int64_t end, int worker)> fn) {
  const int64_t work = std::max<int64_t>(1, context.n_pairs * width);
  const int64_t grain = std::max<int64_t>(1, n_sequences * kGrain / work);
  if (n_sequences <= grain) return fn(0, n_sequences, 0);
  context.pool->parallel_ranges(n_sequences, grain, fn);
}

// Where one head of one sequence lies.
struct Head {
  int64_t first_token = 0;
  int64_t length = 0;
  int64_t index = 0;
  int64_t first_pair = 0;  // in [pairs, n_heads], laid out sequence by sequence as [n_heads, length, length]
};

Head head_of(const RunContext& context, const int32_t* offsets, int64_t sequence, int64_t head, int64_t n_heads) {
  const int64_t length = offsets[sequence + 1] - offsets[sequence];
  return {.first_token = offsets[sequence],
          .length = length,
          .index = head,
          .first_pair = n_heads * context.pair_offsets[sequence] + head * length * length};
}

const float* columns(const Slot& x, const Head& head, int64_t head_dim) {
  return x.f32() + head.first_token * x.width + head.index * head_dim;
}

class RelationLossNode : public NodeKernel {
 public:
  explicit RelationLossNode(const NodeBinding& binding)
      : n_heads_(binding.attributes().get_int("n_heads")),
        student_a_(binding.input(0)),
        student_b_(binding.input(1)),
        teacher_a_(binding.input(2)),
        teacher_b_(binding.input(3)),
        offsets_(binding.input(4)),
        loss_(binding.output(0)),
        difference_(binding.output(1)) {}

  void run(const RunContext& context) override {
    const Slot& offsets = context[offsets_];
    const int64_t n_sequences = offsets.rows - 1;
    const int64_t n_tokens = context[student_a_].rows;
    sums_.assign(static_cast<size_t>(n_sequences), 0);
    scratch_.resize(static_cast<size_t>(context.pool->n_threads()));
    const int64_t width = context[student_a_].width + context[teacher_a_].width;
    for_sequences(context, n_sequences, width, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t s = begin; s < end; ++s) {
        for (int64_t h = 0; h < n_heads_; ++h) {
          sums_[static_cast<size_t>(s)] += divergence(context, head_of(context, offsets.i32(), s, h, n_heads_),
                                                      scratch_[static_cast<size_t>(worker)]);
        }
      }
    });
    double sum = 0;
    for (const double sequence : sums_) sum += sequence;
    context[loss_].f32()[0] = n_tokens == 0 ? 0.0f : static_cast<float>(sum / static_cast<double>(n_tokens * n_heads_));
  }

 private:
  // Leaves the difference behind.
  double divergence(const RunContext& context, const Head& head, std::vector<float>& scratch) const {
    const int64_t n_pairs = head.length * head.length;
    if (n_pairs == 0) return 0;
    scratch.resize(std::max(scratch.size(), static_cast<size_t>(3 * n_pairs)));
    float* log_q = scratch.data();
    float* log_p = log_q + n_pairs;
    float* p = log_p + n_pairs;
    float* q = context[difference_].f32() + head.first_pair;
    relation(context, context[student_a_], context[student_b_], head, log_q);
    relation(context, context[teacher_a_], context[teacher_b_], head, log_p);
    // The softmax of log-probabilities is the probabilities themselves.
    std::copy_n(log_q, n_pairs, q);
    std::copy_n(log_p, n_pairs, p);
    context.table->softmax(q, head.length, head.length);
    context.table->softmax(p, head.length, head.length);
    double sum = 0;
    for (int64_t i = 0; i < n_pairs; ++i) {
      sum += static_cast<double>(p[i]) * (static_cast<double>(log_p[i]) - log_q[i]);
      q[i] -= p[i];
    }
    return sum;
  }

  // log softmax(a bᵀ / √head_dim) [length, length]
  void relation(const RunContext& context, const Slot& a, const Slot& b, const Head& head, float* out) const {
    const int64_t head_dim = a.width / n_heads_;
    context.table->matmul_f32({.m = head.length,
                               .n = head.length,
                               .k = head_dim,
                               .a = columns(a, head, head_dim),
                               .lda = a.width,
                               .b = columns(b, head, head_dim),
                               .ldb = b.width,
                               .transpose_b = true,
                               .c = out,
                               .ldc = head.length},
                              *context.pool);
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)));
    context.table->scale(out, scale, out, head.length * head.length);
    context.table->log_softmax(out, head.length, head.length);
  }

  int64_t n_heads_;
  ValueId student_a_, student_b_, teacher_a_, teacher_b_, offsets_, loss_, difference_;
  std::vector<double> sums_;                 // by sequence
  std::vector<std::vector<float>> scratch_;  // by worker
};

class RelationLossGradNode : public NodeKernel {
 public:
  explicit RelationLossGradNode(const NodeBinding& binding)
      : n_heads_(binding.attributes().get_int("n_heads")),
        a_(binding.input(0)),
        b_(binding.input(1)),
        difference_(binding.input(2)),
        d_loss_(binding.input(3)),
        offsets_(binding.input(4)),
        d_a_(binding.output(0)),
        d_b_(binding.output(1)) {}

  void run(const RunContext& context) override {
    const Slot& a = context[a_];
    const Slot& offsets = context[offsets_];
    const int64_t head_dim = a.width / n_heads_;
    const double n_rows = static_cast<double>(std::max<int64_t>(1, a.rows) * n_heads_);
    const auto factor = static_cast<float>(static_cast<double>(context[d_loss_].f32()[0]) /
                                           (n_rows * std::sqrt(static_cast<double>(head_dim))));
    scratch_.resize(static_cast<size_t>(context.pool->n_threads()));
    for_sequences(context, offsets.rows - 1, 2 * a.width, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t s = begin; s < end; ++s) {
        for (int64_t h = 0; h < n_heads_; ++h) {
          const Head head = head_of(context, offsets.i32(), s, h, n_heads_);
          if (head.length > 0) add_head(context, head, factor, scratch_[static_cast<size_t>(worker)]);
        }
      }
    });
  }

 private:
  void add_head(const RunContext& context, const Head& head, float factor, std::vector<float>& scratch) const {
    const int64_t n_pairs = head.length * head.length;
    scratch.resize(std::max(scratch.size(), static_cast<size_t>(n_pairs)));
    context.table->scale(context[difference_].f32() + head.first_pair, factor, scratch.data(), n_pairs);
    product(context, scratch.data(), false, context[b_], head, context[d_a_]);
    product(context, scratch.data(), true, context[a_], head, context[d_b_]);
  }

  // out [length, head_dim] = op(d) [length, length] · x
  void product(const RunContext& context, const float* d, bool transpose, const Slot& x, const Head& head,
               const Slot& out) const {
    const int64_t head_dim = x.width / n_heads_;
    context.table->matmul_f32({.m = head.length,
                               .n = head_dim,
                               .k = head.length,
                               .a = d,
                               .lda = head.length,
                               .transpose_a = transpose,
                               .b = columns(x, head, head_dim),
                               .ldb = x.width,
                               .c = out.f32() + head.first_token * out.width + head.index * head_dim,
                               .ldc = out.width},
                              *context.pool);
  }

  int64_t n_heads_;
  ValueId a_, b_, difference_, d_loss_, offsets_, d_a_, d_b_;
  std::vector<std::vector<float>> scratch_;  // by worker
};

}  // namespace

std::unique_ptr<NodeKernel> make_relation_loss(const NodeBinding& binding) {
  return std::make_unique<RelationLossNode>(binding);
}
std::unique_ptr<NodeKernel> make_relation_loss_grad(const NodeBinding& binding) {
  return std::make_unique<RelationLossGradNode>(binding);
}

}  // namespace fettle
