// Every table's attention and its gradient against the reference table.
#include "kernels/training_test.h"

namespace fettle {
namespace {

using Attention = Training;

struct AttentionData {
  std::vector<int32_t> offsets;
  std::vector<int64_t> pair_offsets;
  int64_t heads, width;
  Floats qkv, d_out;

  AttentionData(const std::vector<int32_t>& lengths, int64_t n_heads, int64_t head_dim)
      : offsets{0}, pair_offsets{0}, heads(n_heads), width(head_dim) {
    for (const int64_t length : lengths) {
      offsets.push_back(offsets.back() + static_cast<int32_t>(length));
      pair_offsets.push_back(pair_offsets.back() + length * length);
    }
    qkv = normal_values(offsets.back() * stride(), 5);
    d_out = normal_values(offsets.back() * heads * width, 6);
  }

  int64_t stride() const { return 3 * heads * width + 1; }
  int64_t batch() const { return static_cast<int64_t>(offsets.size()) - 1; }

  RaggedAttention forward(Floats& out, Floats* probabilities, float dropout) const {
    RaggedAttention args{.q = qkv.data(),
                         .k = qkv.data() + heads * width,
                         .v = qkv.data() + 2 * heads * width,
                         .stride = stride(),
                         .offsets = offsets.data(),
                         .n_heads = heads,
                         .head_dim = width,
                         .scale = 0.3f,
                         .out = out.data(),
                         .out_stride = heads * width};
    if (probabilities != nullptr) args.probabilities = probabilities->data();
    args.pair_offsets = pair_offsets.data();
    args.dropout = dropout;
    args.seed = 11;
    args.stream = 3;
    return args;
  }
};

struct AttentionResult {
  Floats out, probabilities, d_qkv;
};

AttentionResult run_attention(const KernelTable& table, const AttentionData& data, float dropout) {
  AttentionResult r;
  r.out.resize(data.d_out.size());
  r.probabilities.resize(data.heads * data.pair_offsets.back());
  r.d_qkv.resize(data.qkv.size());
  const RaggedAttention forward = data.forward(r.out, &r.probabilities, dropout);
  table.attention(forward, 0, 1);
  table.attention(forward, 1, data.batch());
  RaggedAttentionGrad backward{.forward = forward, .d_out = data.d_out.data(), .d_q = r.d_qkv.data()};
  backward.d_k = r.d_qkv.data() + data.heads * data.width;
  backward.d_v = r.d_qkv.data() + 2 * data.heads * data.width;
  table.attention_grad(backward, 0, data.batch());
  return r;
}

TEST_P(Attention, AndItsGradientAgreeWithReference) {
  for (const int64_t head_dim : {1, 8, 16, 20, 32, 64}) {
    for (const float dropout : {0.0f, 0.25f}) {
      SCOPED_TRACE(testing::Message() << "head_dim " << head_dim << " dropout " << dropout);
      const AttentionData data({1, 5, 16, 0, 2, 33, 70, 129, 9}, 3, head_dim);
      const AttentionResult got = run_attention(table(), data, dropout);
      const AttentionResult expected = run_attention(reference(), data, dropout);
      EXPECT_LE(difference(got.out, expected.out), 5e-6);
      EXPECT_LE(difference(got.probabilities, expected.probabilities), 2e-6);
      EXPECT_LE(difference(got.d_qkv, expected.d_qkv), 2e-5);
      Floats out(got.out.size());
      table().attention(data.forward(out, nullptr, dropout), 0, data.batch());
      EXPECT_LE(difference(out, got.out), 1e-6);
    }
  }
}

TEST_P(Attention, HasTheSameBitsHoweverTheSequencesAreCut) {
  for (const int64_t head_dim : {20, 64}) {
    const AttentionData data({3, 16, 17, 1, 64, 31, 65}, 2, head_dim);
    const AttentionResult together = run_attention(table(), data, 0.1f);
    AttentionResult apart = together;
    const RaggedAttention forward = data.forward(apart.out, &apart.probabilities, 0.1f);
    RaggedAttentionGrad backward{.forward = forward, .d_out = data.d_out.data(), .d_q = apart.d_qkv.data()};
    backward.d_k = apart.d_qkv.data() + data.heads * data.width;
    backward.d_v = apart.d_qkv.data() + 2 * data.heads * data.width;
    for (Floats* values : {&apart.out, &apart.probabilities, &apart.d_qkv})
      std::fill(values->begin(), values->end(), 0);
    for (int64_t s = data.batch() - 1; s >= 0; --s) {
      table().attention(forward, s, s + 1);
      table().attention_grad(backward, s, s + 1);
    }
    EXPECT_EQ(apart.out, together.out);
    EXPECT_EQ(apart.probabilities, together.probabilities);
    EXPECT_EQ(apart.d_qkv, together.d_qkv);
  }
}

TEST_P(Attention, RowsHaveTheBitsOfAttention) {
  for (const bool in_bf16 : {false, true}) {
    for (const int64_t head_dim : {1, 8, 20, 32, 64}) {
      SCOPED_TRACE(testing::Message() << "head_dim " << head_dim << (in_bf16 ? " in bf16" : ""));
      const AttentionData data({1, 5, 16, 0, 2, 33, 70, 129, 9}, 3, head_dim);
      const int64_t width = data.heads * head_dim;
      Floats all(data.d_out.size());
      const auto attention = in_bf16 ? table().attention_bf16 : table().attention;
      const auto attention_rows = in_bf16 ? table().attention_rows_bf16 : table().attention_rows;
      attention(data.forward(all, nullptr, 0), 0, data.batch());
      // The first and the last token of every sequence that has one, and the queries in memory of their own.
      std::vector<int32_t> sequences;
      Floats q;
      Floats expected;
      for (int64_t s = 0; s < data.batch(); ++s) {
        for (const int32_t token : {data.offsets[s], data.offsets[s + 1] - 1}) {
          if (data.offsets[s] == data.offsets[s + 1]) continue;
          sequences.push_back(static_cast<int32_t>(s));
          q.insert(q.end(), data.qkv.begin() + token * data.stride(), data.qkv.begin() + token * data.stride() + width);
          q.push_back(NAN);  // between the rows
          expected.insert(expected.end(), all.begin() + token * width, all.begin() + (token + 1) * width);
        }
      }
      const auto n = static_cast<int64_t>(sequences.size());
      Floats out(static_cast<size_t>(n * width));
      const AttentionRows args{.q = q.data(),
                               .q_stride = width + 1,
                               .k = data.qkv.data() + width,
                               .v = data.qkv.data() + 2 * width,
                               .stride = data.stride(),
                               .offsets = data.offsets.data(),
                               .sequences = sequences.data(),
                               .n_heads = data.heads,
                               .head_dim = head_dim,
                               .scale = 0.3f,
                               .out = out.data(),
                               .out_stride = width};
      attention_rows(args, 3, n);
      attention_rows(args, 0, 3);
      EXPECT_EQ(out, expected);
    }
  }
}

// Operands rounded to bf16 differ by 2^-9; the softmax and the sums keep that small.
TEST_P(Attention, InBf16AgreesWithReference) {
  for (const int64_t head_dim : {1, 8, 20, 32, 48, 64, 96}) {
    SCOPED_TRACE(testing::Message() << "head_dim " << head_dim);
    const AttentionData data({1, 5, 16, 0, 2, 17, 31, 32, 33, 64, 70, 129, 9}, 3, head_dim);
    Floats out(data.d_out.size(), NAN);
    Floats expected(out.size());
    table().attention_bf16(data.forward(out, nullptr, 0), 0, data.batch());
    reference().attention(data.forward(expected, nullptr, 0), 0, data.batch());
    EXPECT_LE(difference(out, expected), 3e-2);
    double square = 0;
    for (size_t i = 0; i < out.size(); ++i) square += (out[i] - expected[i]) * (out[i] - expected[i]);
    EXPECT_LE(std::sqrt(square / static_cast<double>(out.size())), 3e-3);
    Floats apart(out.size());
    for (int64_t s = data.batch() - 1; s >= 0; --s) {
      table().attention_bf16(data.forward(apart, nullptr, 0), s, s + 1);
    }
    EXPECT_EQ(apart, out);
  }
}

TEST_P(Attention, InBf16KeepsNanToItsOwnSequence) {
  AttentionData data({3, 40, 5}, 2, 64);
  data.qkv[static_cast<size_t>(10 * data.stride() + 7)] = NAN;
  Floats out(data.d_out.size());
  table().attention_bf16(data.forward(out, nullptr, 0), 0, data.batch());
  const int64_t width = data.heads * data.width;
  EXPECT_TRUE(std::isnan(out[static_cast<size_t>(10 * width)]));
  for (int64_t i = 0; i < 3 * width; ++i) ASSERT_TRUE(std::isfinite(out[static_cast<size_t>(i)]));
  for (int64_t i = 43 * width; i < 48 * width; ++i) ASSERT_TRUE(std::isfinite(out[static_cast<size_t>(i)]));
}

// Nothing is read or written, so there need not be any memory.
TEST_P(Attention, OverNoTokens) {
  const std::vector<int32_t> offsets = {0, 0, 0};
  const std::vector<int64_t> pair_offsets = {0, 0, 0};
  RaggedAttention args{.offsets = offsets.data(), .n_heads = 3, .head_dim = 20, .scale = 1};
  args.stride = args.out_stride = 60;
  args.pair_offsets = pair_offsets.data();
  table().attention(args, 0, 2);
  table().attention_bf16(args, 0, 2);
  table().attention_grad({.forward = args}, 0, 2);
  table().attention_rows({.offsets = offsets.data(), .n_heads = 3, .head_dim = 20}, 0, 0);
}

INSTANTIATE_TEST_SUITE_P(Tables, Attention, every_table(), name_of_table);

}  // namespace
}  // namespace fettle
