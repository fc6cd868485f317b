// Products that leave out quads of zeros against those that do not: the same bits, in every table.
#include <cstring>

#include "base/error.h"
#include "base/memory.h"
#include "kernels/packed_linear_test.h"
#include "kernels/packed_quads.h"
#include "tensor/dtype.h"

namespace fettle {
namespace {

// Of each `width` neighbours all are kept or none.
LinearProblem thinned(LinearShape shape, double kept, int64_t width) {
  LinearProblem p(shape);
  Philox random(3);
  for (int64_t o = 0; o < shape.out; ++o) {
    for (int64_t begin = 0; begin < shape.in; begin += width) {
      if (random.uniform() < kept) continue;
      for (int64_t i = begin; i < std::min(begin + width, shape.in); ++i) {
        p.weight[static_cast<size_t>(o * shape.in + i)] = 0;
      }
    }
  }
  return p;
}

void check_quads(const LinearProblem& p, ThreadPool& pool) {
  const std::vector<uint32_t> expected = bits(expected_int8(p));
  for (const KernelTable* table : supported_tables()) {
    const auto linear = table->pack_sparse_int8(p.int8_weights());
    ASSERT_EQ(bits(p.run(*linear, pool)), expected) << name(*table, p) << " threads " << pool.n_threads();
  }
}

TEST(PackedQuads, ExactForEveryNumberOfRows) {
  ThreadPool pool(1);
  for (int64_t rows = 1; rows <= 70; ++rows) check_quads(thinned({rows, 97, 203}, 0.2, 4), pool);
}

// Inputs of less than a quad, of a chunk, of more; outputs around a bunch, a panel and a group.
TEST(PackedQuads, ExactForOddShapes) {
  ThreadPool pool(1);
  for (int64_t in : {1, 3, 4, 5, 63, 64, 65, 511, 512, 513, 516, 1025, 1600}) {
    for (int64_t out : {1, 4, 5, 17, 96, 97}) {
      for (int64_t rows : {1, 17, 33}) check_quads(thinned({rows, in, out}, 0.3, 1), pool);
    }
  }
}

TEST(PackedQuads, ExactForAnyShareOfZeros) {
  ThreadPool pool(1);
  for (const double kept : {0.0, 0.01, 0.5, 1.0}) {
    for (const int64_t width : {1, 4, 32}) check_quads(thinned({37, 700, 130}, kept, width), pool);
  }
}

TEST(PackedQuads, ExactAtAnyNumberOfThreads) {
  for (int n_threads : {1, 2, 3}) {
    ThreadPool pool(n_threads);
    for (const LinearShape shape :
         {LinearShape{40, 768, 768}, LinearShape{150, 300, 1111}, LinearShape{7, 1030, 515}}) {
      check_quads(thinned(shape, 0.3, 4), pool);
    }
  }
}

TEST(PackedQuads, ExactAtTheExtremes) {
  ThreadPool pool(1);
  for (int weight : {-128, -127, 127}) {
    LinearProblem p({17, 1000, 33});
    std::fill(p.weight.begin(), p.weight.end(), static_cast<int8_t>(weight));
    std::fill(p.x.begin(), p.x.end(), -3.0f);
    check_quads(p, pool);
  }
  LinearProblem p = thinned({20, 70, 40}, 0.3, 4);
  p.x[static_cast<size_t>(3 * p.ldx + 69)] = kNan;
  p.x[static_cast<size_t>(17 * p.ldx)] = -kInf;
  check_quads(p, pool);
  check_quads(LinearProblem({0, 8, 8}), pool);
  check_quads(LinearProblem({5, 0, 8}), pool);
  check_quads(LinearProblem({5, 8, 0}), pool);
}

TEST(PackedQuads, ExactWithOneScaleForAllRows) {
  ThreadPool pool(2);
  for (const LinearShape shape : {LinearShape{1, 5, 3}, LinearShape{37, 700, 130}}) {
    LinearProblem p = thinned(shape, 0.3, 4);
    p.input_scale = 0.013f;
    check_quads(p, pool);
  }
}

// With activation, residual and rows in bf16 as the same table's dense product.
TEST(PackedQuads, LikeTheDenseProductInEverything) {
  ThreadPool pool(2);
  for (const Activation activation :
       {Activation::kNone, Activation::kRelu, Activation::kTanh, Activation::kGelu, Activation::kGeluTanh}) {
    for (const LinearShape shape : {LinearShape{16, 520, 96}, LinearShape{45, 100, 210}}) {
      for (const bool with_residual : {false, true}) {
        LinearProblem p = thinned(shape, 0.3, 4);
        p.activation = activation;
        p.with_residual = with_residual;
        for (const KernelTable* table : supported_tables()) {
          const auto dense = table->pack_int8(p.int8_weights());
          const auto sparse = table->pack_sparse_int8(p.int8_weights());
          ASSERT_EQ(bits(p.run(*sparse, pool)), bits(p.run(*dense, pool)))
              << name(*table, p) << " activation " << static_cast<int>(activation);
        }
      }
    }
  }
}

TEST(PackedQuads, LikeTheDenseProductWithRowsInBf16) {
  ThreadPool pool(1);
  LinearProblem p = thinned({45, 200, 210}, 0.3, 4);
  std::vector<uint16_t> x;
  for (const float value : p.x) x.push_back(f32_to_bf16(value));
  for (const KernelTable* table : supported_tables()) {
    const auto dense = table->pack_int8(p.int8_weights());
    const auto sparse = table->pack_sparse_int8(p.int8_weights());
    ASSERT_EQ(sparse->takes_bf16(), dense->takes_bf16()) << table->name;
    if (!dense->takes_bf16()) continue;
    for (const bool y_is_bf16 : {false, true}) {
      const auto run = [&](const PackedLinear& linear) {
        std::vector<float> y(static_cast<size_t>(p.shape.rows * p.ldy), kUntouched);
        linear.run_rows({.x = x.data(),
                         .ldx = p.ldx,
                         .x_is_bf16 = true,
                         .rows = p.shape.rows,
                         .y = y.data(),
                         .ldy = p.ldy,
                         .y_is_bf16 = y_is_bf16,
                         .activation = Activation::kGelu},
                        pool);
        return bits(y);
      };
      EXPECT_EQ(run(*sparse), run(*dense)) << table->name << (y_is_bf16 ? " bf16" : " f32");
    }
  }
}

// With few weights there is little to store.
TEST(PackedQuads, TakesLittleMemory) {
  const LinearProblem p = thinned({1, 768, 768}, 0.2, 4);
  for (const KernelTable* table : supported_tables()) {
    if (table->sparse_below == 0) continue;
    const auto dense = table->pack_int8(p.int8_weights());
    const auto sparse = table->pack_sparse_int8(p.int8_weights());
    EXPECT_LT(static_cast<double>(sparse->size_bytes()), 0.33 * static_cast<double>(dense->size_bytes()))
        << table->name;
  }
}

PackedImage copied(std::span<const std::byte> bytes) {
  const auto block = allocate_block(std::ssize(bytes));
  std::memcpy(block.get(), bytes.data(), bytes.size());
  return {{block.get(), bytes.size()}, block};
}

// Whoever can write the file cannot make a product read or write where it should not: what could is refused.
TEST(PackedQuads, ImagesAreCheckedAndGiveTheSameBits) {
  ThreadPool pool(1);
  const LinearProblem p = thinned({20, 700, 130}, 0.3, 4);
  for (const KernelTable* table : supported_tables()) {
    if (table->sparse_below == 0) continue;
    const auto packed = table->pack_sparse_int8(p.int8_weights());
    PackedImage image = copied(packed->image());
    const LinearWeights from_image{.out_features = 130, .in_features = 700, .image = &image};
    EXPECT_EQ(bits(p.run(*table->pack_sparse_int8(from_image), pool)), bits(p.run(*packed, pool))) << table->name;
    LinearWeights other = from_image;
    other.in_features = 701;
    EXPECT_THROW(table->pack_sparse_int8(other), Error);
    Philox random(9);
    int n_refused = 0;
    for (int i = 0; i < 300; ++i) {
      PackedImage changed = copied(packed->image());
      auto* bytes = const_cast<std::byte*>(changed.bytes.data());
      bytes[random.below(i % 2 == 0 ? changed.bytes.size() : 4096)] = static_cast<std::byte>(random.below(256));
      const LinearWeights weights{.out_features = 130, .in_features = 700, .image = &changed};
      try {
        p.run(*table->pack_sparse_int8(weights), pool);
      } catch (const Error&) {
        ++n_refused;
      }
    }
    EXPECT_GT(n_refused, 0) << table->name;
    const PackedImage shorter{image.bytes.first(64), image.owner};
    const LinearWeights too_short{.out_features = 130, .in_features = 700, .image = &shorter};
    EXPECT_THROW(table->pack_sparse_int8(too_short), Error);
  }
}

}  // namespace
}  // namespace fettle
