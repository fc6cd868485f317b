// Rows that products give and take as bf16 in place of f32.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "base/philox.h"
#include "kernels/dispatch.h"
#include "tensor/dtype.h"

namespace fettle {
namespace {

constexpr uint16_t kUntouched = 0x1234;

struct Linears {
  int64_t out, in;
  std::vector<int8_t> int8;
  std::vector<uint16_t> bf16;
  std::vector<uint8_t> nibbles;
  std::vector<float> scales, group_scales, bias;

  Linears(int64_t n_out, int64_t n_in) : out(n_out), in(n_in) {
    Philox random(3);
    for (int64_t i = 0; i < out * in; ++i) {
      int8.push_back(static_cast<int8_t>(static_cast<int>(random.below(255)) - 127));
      bf16.push_back(f32_to_bf16(random.normal()));
    }
    for (int64_t i = 0; i < out * ((in + 1) / 2); ++i) nibbles.push_back(static_cast<uint8_t>(random.below(256)));
    for (int64_t i = 0; i < out * ((in + 31) / 32); ++i) group_scales.push_back(std::fabs(random.normal()));
    for (int64_t i = 0; i < out; ++i) {
      scales.push_back(0.01f + std::fabs(random.normal()));
      bias.push_back(random.normal());
    }
  }

  LinearWeights weights(const void* data) const {
    return {.out_features = out, .in_features = in, .weight = data, .scales = scales.data(), .bias = bias.data()};
  }
  std::vector<std::unique_ptr<PackedLinear>> of(const KernelTable& table) const {
    const Int4Weights int4{.out_features = out,
                           .in_features = in,
                           .group_size = 32,
                           .values = nibbles.data(),
                           .scales = group_scales.data(),
                           .bias = bias.data()};
    std::vector<std::unique_ptr<PackedLinear>> all;
    all.push_back(table.pack_int8(weights(int8.data())));
    all.push_back(table.pack_bf16(weights(bf16.data())));
    all.push_back(table.pack_int4(int4));
    all.push_back(table.pack_int4_bf16(int4));
    return all;
  }
};

// Rows of inputs that are bf16 numbers, some of them extreme.
struct Inputs {
  int64_t rows, width;
  int64_t stride = width + 3;
  std::vector<uint16_t> bf16;
  std::vector<float> f32;

  Inputs(int64_t n_rows, int64_t n) : rows(n_rows), width(n) {
    Philox random(4);
    for (int64_t r = 0; r < rows; ++r) {
      const float size = r % 5 == 1 ? 1e30f : r % 5 == 2 ? 1e-30f : r % 5 == 3 ? 0.0f : 1.0f;
      for (int64_t i = 0; i < stride; ++i) bf16.push_back(f32_to_bf16(size * random.normal()));
    }
    if (rows > 4) bf16[static_cast<size_t>(4 * stride)] = f32_to_bf16(std::numeric_limits<float>::infinity());
    if (rows > 5) bf16[static_cast<size_t>(6 * stride - 4)] = f32_to_bf16(NAN);
    for (const uint16_t bits : bf16) f32.push_back(bf16_to_f32(bits));
  }
};

std::vector<uint32_t> run(const PackedLinear& linear, const Inputs& x, bool as_bf16, Activation activation,
                          ThreadPool& pool, int64_t out) {
  std::vector<float> y(static_cast<size_t>(x.rows * out));
  linear.run_rows({.x = as_bf16 ? static_cast<const void*>(x.bf16.data()) : x.f32.data(),
                   .ldx = x.stride,
                   .x_is_bf16 = as_bf16,
                   .rows = x.rows,
                   .y = y.data(),
                   .ldy = out,
                   .activation = activation},
                  pool);
  std::vector<uint32_t> bits;
  for (const float value : y) bits.push_back(std::bit_cast<uint32_t>(value));
  return bits;
}

TEST(Bf16Rows, InputsCountAsTheF32NumbersThatTheyAre) {
  ThreadPool pool(2);
  int n_checked = 0;
  for (const auto& [out, in] : std::vector<std::pair<int64_t, int64_t>>{{96, 64}, {200, 131}, {33, 7}, {48, 1000}}) {
    const Linears linears(out, in);
    for (const KernelTable* table : supported_tables()) {
      for (const auto& linear : linears.of(*table)) {
        if (!linear->takes_bf16()) continue;
        for (const int64_t rows : {1, 5, 12, 16, 17, 70}) {
          const Inputs x(rows, in);
          EXPECT_EQ(run(*linear, x, true, Activation::kGelu, pool, out),
                    run(*linear, x, false, Activation::kGelu, pool, out))
              << table->name << " " << rows << " rows, " << out << " x " << in;
          ++n_checked;
        }
      }
    }
  }
  if (n_checked == 0) GTEST_SKIP() << "no kernel of this machine takes rows of bf16";
}

TEST(Bf16Rows, OutputsAreTheF32OnesRounded) {
  ThreadPool pool(2);
  int n_checked = 0;
  for (const auto& [out, in] : std::vector<std::pair<int64_t, int64_t>>{{96, 64}, {200, 131}, {7, 33}, {300, 1000}}) {
    const Linears linears(out, in);
    for (const KernelTable* table : supported_tables()) {
      for (const auto& linear : linears.of(*table)) {
        if (!linear->takes_bf16()) continue;
        for (const int64_t rows : {1, 5, 12, 16, 17, 70}) {
          const Inputs x(rows, in);
          const std::vector<uint32_t> f32 = run(*linear, x, false, Activation::kGelu, pool, out);
          const int64_t ldy = out + 5;
          std::vector<uint16_t> y(static_cast<size_t>(rows * ldy), kUntouched);
          linear->run_rows({.x = x.f32.data(),
                            .ldx = x.stride,
                            .rows = rows,
                            .y = y.data(),
                            .ldy = ldy,
                            .y_is_bf16 = true,
                            .activation = Activation::kGelu},
                           pool);
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t o = 0; o < ldy; ++o) {
              const uint16_t got = y[static_cast<size_t>(r * ldy + o)];
              if (o >= out) {
                ASSERT_EQ(got, kUntouched) << "beyond row " << r;
                continue;
              }
              const auto exact = std::bit_cast<float>(f32[static_cast<size_t>(r * out + o)]);
              if (std::isnan(exact)) {
                ASSERT_TRUE(std::isnan(bf16_to_f32(got)));
              } else {
                ASSERT_EQ(got, f32_to_bf16(exact)) << table->name << " row " << r << " column " << o;
              }
            }
          }
          ++n_checked;
        }
      }
    }
  }
  if (n_checked == 0) GTEST_SKIP() << "no kernel of this machine takes rows of bf16";
}

TEST(Bf16Rows, AttentionHasTheBitsOfF32Rows) {
  int n_checked = 0;
  for (const KernelTable* table : supported_tables()) {
    if (!table->attention_takes_bf16_rows) continue;
    for (const int64_t head_dim : {1, 8, 20, 32, 64}) {
      const std::vector<int32_t> offsets = {0, 1, 6, 22, 22, 24, 57, 127, 256, 265};
      constexpr int64_t kHeads = 3;
      const int64_t width = kHeads * head_dim;
      const Inputs qkv(offsets.back(), 3 * width);
      std::vector<float> expected(static_cast<size_t>(offsets.back() * width));
      std::vector<float> got = expected;
      RaggedAttention args{.q = qkv.f32.data(),
                           .k = qkv.f32.data() + width,
                           .v = qkv.f32.data() + 2 * width,
                           .stride = qkv.stride,
                           .offsets = offsets.data(),
                           .n_heads = kHeads,
                           .head_dim = head_dim,
                           .scale = 0.3f,
                           .out = expected.data(),
                           .out_stride = width};
      const auto n = static_cast<int64_t>(offsets.size()) - 1;
      table->attention_bf16(args, 0, n);
      args.q = args.k = args.v = nullptr;
      args.q_bf16 = qkv.bf16.data();
      args.k_bf16 = qkv.bf16.data() + width;
      args.v_bf16 = qkv.bf16.data() + 2 * width;
      args.out = got.data();
      table->attention_bf16(args, 0, n);
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(expected[i])) << head_dim << " " << i;
      }
      ++n_checked;
    }
  }
  if (n_checked == 0) GTEST_SKIP() << "no attention of this machine takes rows of bf16";
}

TEST(Bf16Rows, ThreadsBeginWithDifferentWeights) {
  const Linears linears(768, 64);
  for (const KernelTable* table : supported_tables()) {
    for (const auto& linear : linears.of(*table)) {
      const FetchAhead first = linear->first_weights(0, 2);
      const FetchAhead second = linear->first_weights(1, 2);
      EXPECT_EQ(first.n_streams, second.n_streams);
      if (first.n_streams == 0) continue;
      EXPECT_GT(first.size_bytes, 0) << table->name;
      EXPECT_GE(second.streams[0], first.streams[0] + first.size_bytes) << table->name;
      EXPECT_EQ(linear->first_weights(100, 200).n_streams, 0) << table->name;
    }
  }
}

}  // namespace
}  // namespace fettle
