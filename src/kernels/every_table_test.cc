// That every table of this machine is there, complete, and right on the sizes where kernels change their way of
// working: every number of rows that a block can have, widths that are no multiples of vectors, panels and groups, and
// sequences around the sizes of tiles and vectors, side by side.
#include <cstring>
#include <type_traits>

#include "base/cpu.h"
#include "kernels/training_test.h"
#include "tensor/dtype.h"

namespace fettle {
namespace {

using EveryTable = Training;

TEST_P(EveryTable, HasAllEntries) {
  static_assert(std::is_standard_layout_v<KernelTable>);
  const auto first = offsetof(KernelTable, matmul_f32);
  using Entry = void (*)();
  for (size_t at = first; at < sizeof(KernelTable); at += sizeof(Entry)) {
    if (at == offsetof(KernelTable, attention_takes_bf16_rows)) continue;
    Entry entry;
    std::memcpy(&entry, reinterpret_cast<const char*>(&table()) + at, sizeof entry);
    EXPECT_NE(entry, nullptr) << "entry " << (at - first) / sizeof(Entry);
  }
}

TEST_P(EveryTable, GathersInt8LikeItsDefinition) {
  constexpr int64_t kRows = 6;
  const std::vector<int32_t> ids = {5, 0, 5, 2, 3, 1, 4};
  for (const int64_t width : {1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100, 313}) {
    std::vector<int8_t> rows(static_cast<size_t>(kRows * width));
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int8_t>(i * 37 + i / 11);
    const Floats scales = normal_values(kRows, 2);
    Floats y(ids.size() * static_cast<size_t>(width) + 1, 7.0f);
    table().gather_int8(rows.data(), scales.data(), ids.data(), static_cast<int64_t>(ids.size()), width, y.data());
    for (size_t r = 0; r < ids.size(); ++r) {
      for (int64_t i = 0; i < width; ++i) {
        const float expected = static_cast<float>(rows[static_cast<size_t>(ids[r] * width + i)]) * scales[ids[r]];
        ASSERT_EQ(y[r * static_cast<size_t>(width) + static_cast<size_t>(i)], expected) << width << " row " << r;
      }
    }
    EXPECT_EQ(y.back(), 7.0f);
  }
}

struct LinearCase {
  int64_t rows, in, out;
  Floats x, weight, bias, residual;

  LinearCase(int64_t n_rows, int64_t n_in, int64_t n_out)
      : rows(n_rows),
        in(n_in),
        out(n_out),
        x(normal_values(rows * in, 1)),
        weight(normal_values(out * in, 2)),
        bias(normal_values(out, 3)),
        residual(normal_values(rows * out, 4)) {}

  LinearWeights weights(const void* data) const {
    return {.out_features = out, .in_features = in, .weight = data, .bias = bias.data()};
  }
  Floats run(const PackedLinear& linear, Activation activation, ThreadPool& pool) const {
    Floats y(static_cast<size_t>(rows * out));
    linear.run(x.data(), in, rows, y.data(), out, activation, residual.data(), pool);
    return y;
  }
  // In double; the weights as they were stored.
  Floats expected(const Floats& stored, Activation activation) const {
    Floats y(static_cast<size_t>(rows * out));
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t o = 0; o < out; ++o) {
        double sum = bias[o];
        for (int64_t i = 0; i < in; ++i) sum += double{x[r * in + i]} * stored[o * in + i];
        if (activation == Activation::kGelu) sum *= 0.5 * (1 + std::erf(sum * std::sqrt(0.5)));
        y[r * out + o] = static_cast<float>(sum + residual[r * out + o]);
      }
    }
    return y;
  }
};

TEST_P(EveryTable, FloatLinearsAreRightForEveryNumberOfRows) {
  const struct { int64_t in, out; } widths[] = {{97, 203}, {70, 95}, {33, 49}};
  for (const auto& [in, out] : widths) {
    for (int64_t rows = 1; rows <= 40; ++rows) {
      SCOPED_TRACE(testing::Message() << rows << " rows, " << in << " to " << out);
      const LinearCase c(rows, in, out);
      const Activation activation = rows % 2 == 0 ? Activation::kGelu : Activation::kNone;
      Floats rounded = c.weight;
      std::vector<uint16_t> stored;
      for (float& value : rounded) {
        stored.push_back(f32_to_bf16(value));
        value = bf16_to_f32(stored.back());
      }
      const Floats f32 = c.run(*table().pack_f32(c.weights(c.weight.data())), activation, pool_);
      EXPECT_LE(difference(f32, c.expected(c.weight, activation)), 1e-5);
      const Floats bf16 = c.run(*table().pack_bf16(c.weights(stored.data())), activation, pool_);
      // AMX rounds the inputs to bf16 too.
      EXPECT_LE(difference(bf16, c.expected(rounded, activation)), table().name == "amx" ? 5e-2 : 1e-5);
    }
  }
}

// Sequences that fill vectors, tiles and blocks, and such that just do not, each beside many others.
TEST_P(EveryTable, AttentionIsRightForMixedLengths) {
  const std::vector<int32_t> lengths = {129, 0, 1, 15, 100, 16, 17, 0, 31, 32, 64, 33, 2, 63, 65, 1};
  std::vector<int32_t> offsets = {0};
  for (const int32_t length : lengths) offsets.push_back(offsets.back() + length);
  const auto batch = static_cast<int64_t>(lengths.size());
  for (const int64_t head_dim : {26, 32, 64}) {
    SCOPED_TRACE(testing::Message() << "head_dim " << head_dim);
    constexpr int64_t kHeads = 2;
    const int64_t width = kHeads * head_dim;
    const Floats qkv = normal_values(offsets.back() * 3 * width, 5);
    Floats out(static_cast<size_t>(offsets.back() * width));
    RaggedAttention args{.q = qkv.data(), .k = qkv.data() + width, .v = qkv.data() + 2 * width, .stride = 3 * width};
    args.offsets = offsets.data();
    args.n_heads = kHeads;
    args.head_dim = head_dim;
    args.scale = 0.2f;
    args.out = out.data();
    args.out_stride = width;
    table().attention(args, 0, batch);
    Floats expected(out.size());
    args.out = expected.data();
    reference().attention(args, 0, batch);
    EXPECT_LE(difference(out, expected), 5e-6);
    // Alone, a sequence has the same bits.
    Floats apart(out.size());
    args.out = apart.data();
    for (int64_t s = batch - 1; s >= 0; --s) table().attention(args, s, s + 1);
    EXPECT_EQ(apart, out);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, EveryTable, every_table(), name_of_table);

// A table that is left out would be tested by nothing.
TEST(Tables, AreThoseThatTheProcessorHas) {
  const CpuFeatures& cpu = cpu_features();
  std::vector<std::string_view> expected = {"reference"};
  if (cpu.avx2) expected.push_back("avx2");
  if (cpu.avx512) expected.push_back("avx512");
  if (cpu.avx512_vnni) expected.push_back("vnni");
  if (cpu.amx_int8 && cpu.amx_bf16 && cpu.avx512_bf16) expected.push_back("amx");
  if (cpu.neon) expected.push_back("neon");
  if (cpu.neon_dot) expected.push_back("neon_dot");
  std::vector<std::string_view> names;
  for (const KernelTable* table : supported_tables()) {
    names.push_back(table->name);
    EXPECT_TRUE(table->supported == nullptr || table->supported(cpu)) << table->name;
  }
  EXPECT_EQ(names, expected);
}

}  // namespace
}  // namespace fettle
