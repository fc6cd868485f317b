#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "runtime/kernels/factories.h"
#include "runtime/kernels/pack.h"

namespace fettle {
namespace {

// Multiply-adds of one task.
constexpr int64_t kGrain = 1 << 18;
// With fewer sequences than this, heads are dealt out singly.
constexpr int64_t kFewSequences = 4;

struct AttentionAttributes {
  explicit AttentionAttributes(const Attributes& attributes)
      : n_heads(attributes.get_int("n_heads")),
        head_dim(attributes.get_int("head_dim")),
        scale(static_cast<float>(attributes.get_double("scale"))),
        dropout(static_cast<float>(attributes.get_double("dropout", 0))),
        stream(static_cast<uint64_t>(attributes.get_int("stream", 0))) {}

  RaggedAttention arguments(const RunContext& context, const Slot& offsets) const {
    RaggedAttention args;
    args.offsets = offsets.i32();
    args.n_heads = n_heads;
    args.head_dim = head_dim;
    args.scale = scale;
    args.dropout = dropout;
    args.seed = context.seed;
    args.stream = stream;
    args.pair_offsets = context.pair_offsets;
    return args;
  }

  int64_t n_heads;
  int64_t head_dim;
  float scale;
  float dropout;
  uint64_t stream;
};

// Calls fn(begin, end) on ranges of sequences that make about kGrain multiply-adds each.
void for_sequences(const RunContext& context, int64_t n_sequences, int64_t width,
                   FunctionRef<void(int64_t begin, int64_t end)> fn) {
  const int64_t work = 2 * context.n_pairs * width;
  if (work <= kGrain || n_sequences <= 1) {
    if (n_sequences > 0) fn(0, n_sequences);
    return;
  }
  const int64_t grain = std::max<int64_t>(1, n_sequences * kGrain / work);
  context.pool->parallel_ranges(n_sequences, grain, [&](int64_t begin, int64_t end, int) { fn(begin, end); });
}

using AttentionFunction = void (*)(const RaggedAttention&, int64_t begin, int64_t end);

void for_heads(const RunContext& context, AttentionFunction attention, const RaggedAttention& args,
               int64_t n_sequences) {
  context.pool->parallel_for(n_sequences * args.n_heads, [&](int64_t task, int) {
    RaggedAttention head = args;
    const int64_t column = task % args.n_heads * args.head_dim;
    if (args.q_bf16 != nullptr) {
      head.q_bf16 += column;
      head.k_bf16 += column;
      head.v_bf16 += column;
    } else {
      head.q += column;
      head.k += column;
      head.v += column;
    }
    head.out += column;
    head.n_heads = 1;
    attention(head, task / args.n_heads, task / args.n_heads + 1);
  });
}

// Whether there are too few sequences to deal out whole ones. A head has the same bits by itself as among others.
bool cuts_heads(const RunContext& context, const RaggedAttention& args, int64_t n_sequences) {
  const int64_t width = args.n_heads * args.head_dim;
  // Single heads would not know the index that their probabilities have among all.
  const bool can_split_heads = args.probabilities == nullptr && args.dropout == 0;
  return can_split_heads && context.pool->n_threads() > 1 && n_sequences < kFewSequences &&
         2 * context.n_pairs * width > kGrain;
}

void run_attention(const RunContext& context, AttentionFunction attention, const RaggedAttention& args,
                   int64_t n_sequences) {
  const int64_t width = args.n_heads * args.head_dim;
  if (cuts_heads(context, args, n_sequences)) return for_heads(context, attention, args, n_sequences);
  for_sequences(context, n_sequences, width, [&](int64_t begin, int64_t end) { attention(args, begin, end); });
}

class AttentionNode : public NodeKernel {
 public:
  explicit AttentionNode(const NodeBinding& binding)
      : attributes_(binding.attributes()),
        q_(binding.input(0)),
        k_(binding.input(1)),
        v_(binding.input(2)),
        offsets_(binding.input(3)),
        out_(binding.output(0)),
        probabilities_(binding.output_if_used(1)) {}

  void run(const RunContext& context) override {
    const Slot& offsets = context[offsets_];
    RaggedAttention args = attributes_.arguments(context, offsets);
    args.q = context[q_].f32();
    args.k = context[k_].f32();
    args.v = context[v_].f32();
    args.stride = context[q_].width;
    args.out = context[out_].f32();
    args.out_stride = context[out_].width;
    if (probabilities_ != kNoValue) args.probabilities = context[probabilities_].f32();
    run_attention(context, context.table->attention, args, offsets.rows - 1);
  }

 private:
  AttentionAttributes attributes_;
  ValueId q_, k_, v_, offsets_, out_, probabilities_;
};

class PackedAttentionNode : public NodeKernel {
 public:
  explicit PackedAttentionNode(const NodeBinding& binding)
      : attributes_(binding.attributes()),
        qkv_(binding.input(0)),
        offsets_(binding.input(1)),
        out_(binding.output(0)),
        in_bf16_(has_coarse_weights(binding, qkv_)),
        takes_bf16_rows_(in_bf16_ && binding.options.table->attention_takes_bf16_rows),
        attention_(in_bf16_ ? binding.options.table->attention_bf16 : binding.options.table->attention) {}

  void run(const RunContext& context) override {
    const Slot& offsets = context[offsets_];
    const Slot& qkv = context[qkv_];
    const int64_t width = attributes_.n_heads * attributes_.head_dim;
    RaggedAttention args = attributes_.arguments(context, offsets);
    if (qkv.is_bf16) {
      args.q_bf16 = qkv.bf16();
      args.k_bf16 = qkv.bf16() + width;
      args.v_bf16 = qkv.bf16() + 2 * width;
    } else {
      args.q = qkv.f32();
      args.k = qkv.f32() + width;
      args.v = qkv.f32() + 2 * width;
    }
    args.stride = qkv.width;
    args.out = context[out_].f32();
    args.out_stride = context[out_].width;
    const int64_t n_sequences = offsets.rows - 1;
    const Slot& out = context[out_];
    if (!feed_.is_connected() || cuts_heads(context, args, n_sequences)) {
      return run_attention(context, attention_, args, n_sequences);
    }
    feed_.begin(out.rows);
    for_sequences(context, n_sequences, width, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) {
        attention_(args, s, s + 1);
        feed_.wrote(out.f32(), out.width, args.offsets[s], args.offsets[s + 1]);
      }
    });
    feed_.finish();
  }
  bool can_feed(ValueId value) const override { return value == out_; }
  void feed(const PackedLinear* linear, FedRows* fed) override { feed_.connect(linear, fed); }
  bool takes_bf16(ValueId value) const override { return takes_bf16_rows_ && value == qkv_; }

 private:
  AttentionAttributes attributes_;
  ValueId qkv_, offsets_, out_;
  bool in_bf16_;
  bool takes_bf16_rows_;
  RowFeed feed_;
  AttentionFunction attention_;
};

// One query for each of some tokens, on the rows [k | v] of all tokens.
class AttentionRowsNode : public NodeKernel {
 public:
  explicit AttentionRowsNode(const NodeBinding& binding)
      : attributes_(binding.attributes()),
        q_(binding.input(0)),
        kv_(binding.input(1)),
        rows_(binding.input(2)),
        offsets_(binding.input(3)),
        out_(binding.output(0)),
        attend_(has_coarse_weights(binding, kv_) ? binding.options.table->attention_rows_bf16
                                                 : binding.options.table->attention_rows),
        where_(binding.node.name) {}

  void run(const RunContext& context) override {
    const Slot& q = context[q_];
    const Slot& kv = context[kv_];
    find_sequences(context[rows_], context[offsets_], kv.rows);
    const AttentionRows args{.q = q.f32(),
                             .q_stride = q.width,
                             .k = kv.f32(),
                             .v = kv.f32() + q.width,
                             .stride = kv.width,
                             .offsets = context[offsets_].i32(),
                             .sequences = sequences_.data(),
                             .n_heads = attributes_.n_heads,
                             .head_dim = attributes_.head_dim,
                             .scale = attributes_.scale,
                             .out = context[out_].f32(),
                             .out_stride = context[out_].width};
    run_rows(context, args, q.rows, kv.rows);
  }

 private:
  void find_sequences(const Slot& rows, const Slot& offsets, int64_t n_tokens) {
    const int32_t* ends = offsets.i32() + 1;
    sequences_.clear();
    for (int64_t r = 0; r < rows.rows; ++r) {
      const int32_t row = rows.i32()[r];
      if (row < 0 || row >= n_tokens) {
        bad_input(where_, fmt::format("row {} is token {}, but there are {} tokens", r, row, n_tokens));
      }
      const int32_t* end = std::upper_bound(ends, offsets.i32() + offsets.rows, row);
      sequences_.push_back(static_cast<int32_t>(end - ends));
    }
  }

  // A single query is cut by heads.
  void run_rows(const RunContext& context, const AttentionRows& args, int64_t n_rows, int64_t n_tokens) const {
    const int64_t work = 2 * n_tokens * args.n_heads * args.head_dim;  // multiply-adds, with one query a sequence
    if (n_rows == 0) return;
    if (work <= kGrain) return attend_(args, 0, n_rows);
    if (n_rows >= kFewSequences) {
      const int64_t grain = std::max<int64_t>(1, n_rows * kGrain / work);
      return context.pool->parallel_ranges(n_rows, grain,
                                           [&](int64_t begin, int64_t end, int) { attend_(args, begin, end); });
    }
    context.pool->parallel_for(n_rows * args.n_heads, [&](int64_t task, int) {
      AttentionRows head = args;
      const int64_t column = task % args.n_heads * args.head_dim;
      head.q += column;
      head.k += column;
      head.v += column;
      head.out += column;
      head.n_heads = 1;
      attend_(head, task / args.n_heads, task / args.n_heads + 1);
    });
  }

  AttentionAttributes attributes_;
  ValueId q_, kv_, rows_, offsets_, out_;
  void (*attend_)(const AttentionRows&, int64_t begin, int64_t end);
  std::string where_;
  std::vector<int32_t> sequences_;  // of each query
};

class AttentionGradNode : public NodeKernel {
 public:
  explicit AttentionGradNode(const NodeBinding& binding)
      : attributes_(binding.attributes()),
        q_(binding.input(0)),
        k_(binding.input(1)),
        v_(binding.input(2)),
        offsets_(binding.input(3)),
        probabilities_(binding.input(4)),
        d_out_(binding.input(5)),
        d_q_(binding.output(0)),
        d_k_(binding.output(1)),
        d_v_(binding.output(2)) {}

  void run(const RunContext& context) override {
    const Slot& offsets = context[offsets_];
    RaggedAttentionGrad args{.forward = attributes_.arguments(context, offsets)};
    args.forward.q = context[q_].f32();
    args.forward.k = context[k_].f32();
    args.forward.v = context[v_].f32();
    args.forward.stride = context[q_].width;
    args.forward.out_stride = context[d_out_].width;
    args.forward.probabilities = context[probabilities_].f32();
    args.d_out = context[d_out_].f32();
    args.d_q = context[d_q_].f32();
    args.d_k = context[d_k_].f32();
    args.d_v = context[d_v_].f32();
    for_sequences(context, offsets.rows - 1, 2 * context[q_].width,
                  [&](int64_t begin, int64_t end) { context.table->attention_grad(args, begin, end); });
  }

 private:
  AttentionAttributes attributes_;
  ValueId q_, k_, v_, offsets_, probabilities_, d_out_, d_q_, d_k_, d_v_;
};

}  // namespace

std::unique_ptr<NodeKernel> make_attention(const NodeBinding& binding) {
  return std::make_unique<AttentionNode>(binding);
}
std::unique_ptr<NodeKernel> make_attention_packed(const NodeBinding& binding) {
  return std::make_unique<PackedAttentionNode>(binding);
}
std::unique_ptr<NodeKernel> make_attention_rows(const NodeBinding& binding) {
  return std::make_unique<AttentionRowsNode>(binding);
}
std::unique_ptr<NodeKernel> make_attention_grad(const NodeBinding& binding) {
  return std::make_unique<AttentionGradNode>(binding);
}

}  // namespace fettle
