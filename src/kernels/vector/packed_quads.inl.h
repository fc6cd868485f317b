// Products with packed quads (kernels/packed_quads.h) in vector registers. Product is of one instruction set:
//   kVectors                 vectors that hold the sums of 16 rows
//   kMaxBlocks               blocks of 16 rows worked on at once
//   kMostVectors             vectors of rows of which registers hold the sums of four outputs
//   Sum, Weights             sums of a vector's rows; a quad of weights in all lanes
//   zero(), weights(p), add(sum, x, weights)     x: a vector of a prepared quad
//   load(p), store(p, sum)   sums of one vector as memory holds them between chunks
//   finish(tile)             the float values of 16 rows by 16 outputs
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/packed_quads.h"
#include "kernels/vector/prefetch.h"

namespace fettle {

#define FETTLE_INLINE __attribute__((always_inline))

// Sums of 16 outputs by 16 rows on their way to be values: to[row · to_stride + output].
struct QuadTile {
  const std::byte* sums = nullptr;  // an output's sums begin every `stride` bytes
  int64_t stride = 0;
  const float* row_scales = nullptr;
  const float* scales = nullptr;
  const float* bias = nullptr;
  const int32_t* offsets = nullptr;
  float* to = nullptr;
  int64_t to_stride = 0;
};

template <int kN, typename Body>
FETTLE_INLINE inline void unroll_quads(Body body) {
  [&]<int... kI>(std::integer_sequence<int, kI...>) FETTLE_INLINE {
    (body(std::integral_constant<int, kI>()), ...);
  }
  (std::make_integer_sequence<int, kN>());
}

template <typename Product, int kBlocks>
class QuadProduct {
 public:
  explicit QuadProduct(const QuadJob& job) : job_(job), w_(*job.weights) {}

  void run(int64_t group_begin, int64_t group_end) {
    for (int64_t g = group_begin; g < group_end; ++g) {
      for (int64_t c = 0; c < w_.n_chunks; ++c) {
        if (c == 0) {
          chunk_sums<true>(g, c);
        } else {
          chunk_sums<false>(g, c);
        }
      }
      for (int64_t p = 0; p < n_panels(g); ++p) finish_panel(g, p);
      finish_group(g);
    }
  }

 private:
  using Sum = typename Product::Sum;
  static constexpr int kRowVectors = Product::kVectors * kBlocks;
  static constexpr int kStepVectors = kRowVectors < Product::kMostVectors ? kRowVectors : Product::kMostVectors;
  static_assert(kRowVectors % kStepVectors == 0);
  static constexpr int64_t kQuadBytes = Product::kQuadBytes;  // of a prepared quad of 16 rows
  static constexpr int64_t kVectorBytes = kQuadBytes / Product::kVectors;
  static constexpr int64_t kSumBytes = Product::kSumBytes;  // of a vector's sums in memory
  static constexpr int64_t kOutputBytes = kRowVectors * kSumBytes;

  int64_t n_panels(int64_t group) const {
    const int64_t left = (w_.out_features - group * kGroupWidth + kPanelWidth - 1) / kPanelWidth;
    return left < kGroupPanels ? left : kGroupPanels;
  }

  template <bool kFirst>
  void chunk_sums(int64_t group, int64_t c) {
    const QuadChunk& chunk = w_.chunk(group, c);
    const std::byte* const x = job_.rows_data + c * kChunkQuads * kQuadBytes;
    const std::byte* quads = w_.quads + chunk.begin * kQuadInputs;
    const uint8_t* places = w_.places + chunk.begin;
    for (const QuadBunch& bunch : chunk.bunches) {
      unroll_quads<kRowVectors / kStepVectors>(
          [&](auto i) FETTLE_INLINE { bunch_sums<kFirst, i * kStepVectors>(bunch, x, quads, places); });
      quads += kBunch * kQuadInputs * bunch.n_quads;
      places += kBunch * bunch.n_quads;
    }
  }

  // Of vectors [kVector, kVector + kStepVectors) of the rows.
  template <bool kFirst, int kVector>
  FETTLE_INLINE void bunch_sums(const QuadBunch& bunch, const std::byte* x, const std::byte* quads,
                                const uint8_t* places) {
    const int64_t stride = job_.block_bytes;
    Sum sums[kBunch][kStepVectors];
    unroll_quads<kBunch * kStepVectors>([&](auto i) FETTLE_INLINE {
      const std::byte* const from = sums_of(bunch.outputs[i / kStepVectors]) + (kVector + i % kStepVectors) * kSumBytes;
      sums[i / kStepVectors][i % kStepVectors] = kFirst ? Product::zero() : Product::load(from);
    });
    for (int64_t n = bunch.n_quads; n > 0; --n) {
      prefetch_near(quads + kNear);
      unroll_quads<kBunch>([&](auto o) FETTLE_INLINE {
        const typename Product::Weights weights = Product::weights(quads + o * kQuadInputs);
        const std::byte* const from = x + places[o] * kQuadBytes;
        unroll_quads<kStepVectors>([&](auto v) FETTLE_INLINE {
          constexpr int kAt = kVector + v;
          const std::byte* const at = from + kAt / Product::kVectors * stride + kAt % Product::kVectors * kVectorBytes;
          sums[o][v] = Product::add(sums[o][v], at, weights);
        });
      });
      quads += kBunch * kQuadInputs;
      places += kBunch;
    }
    unroll_quads<kBunch * kStepVectors>([&](auto i) FETTLE_INLINE {
      std::byte* const to = sums_of(bunch.outputs[i / kStepVectors]) + (kVector + i % kStepVectors) * kSumBytes;
      Product::store(to, sums[i / kStepVectors][i % kStepVectors]);
    });
  }
  std::byte* sums_of(int64_t output) { return sums_ + output * kOutputBytes; }

  void finish_panel(int64_t group, int64_t p) {
    const int64_t column = group * kGroupWidth + p * kPanelWidth;
    const bool direct = is_direct(group);
    for (int64_t b = 0; b < kBlocks; ++b) {
      Product::finish({.sums = sums_ + p * kPanelWidth * kOutputBytes + b * Product::kVectors * kSumBytes,
                       .stride = kOutputBytes,
                       .row_scales = job_.row_scales + b * kBlockRows,
                       .scales = w_.scales + column,
                       .bias = w_.bias + column,
                       .offsets = w_.offsets + column,
                       .to = direct ? job_.y + b * kBlockRows * job_.ldy + column
                                    : values_ + b * kBlockRows * kGroupWidth + p * kPanelWidth,
                       .to_stride = direct ? job_.ldy : kGroupWidth});
    }
  }

  // Straight to y where whole tiles are all that is wanted.
  bool is_direct(int64_t group) const {
    const bool plain = job_.activation == Activation::kNone && job_.residual == nullptr && job_.y_bf16 == nullptr;
    return plain && job_.rows == kBlocks * kBlockRows && (group + 1) * kGroupWidth <= w_.out_features;
  }

  void finish_group(int64_t group) {
    if (is_direct(group)) return;
    const int64_t column = group * kGroupWidth;
    const int64_t left = w_.out_features - column;
    const int64_t n_columns = left < kGroupWidth ? left : kGroupWidth;
    PanelJob job{.table = job_.table, .y = job_.y, .ldy = job_.ldy, .activation = job_.activation};
    job.residual = job_.residual;
    if (job_.y_bf16 == nullptr) return finish_block(job, values_, 0, job_.rows, column, n_columns);
    for (int64_t r = 0; r < job_.rows; ++r) {
      float* const row = values_ + r * kGroupWidth;
      if (job_.activation != Activation::kNone) job_.table->activate(job_.activation, row, row, n_columns);
      Product::to_bf16(row, job_.y_bf16 + r * job_.ldy + column, n_columns);
    }
  }

  static constexpr int64_t kNear = 1024;

  const QuadJob& job_;
  const QuadWeights& w_;
  alignas(64) std::byte sums_[kGroupPanels * kPanelWidth * kOutputBytes];
  alignas(64) float values_[kBlocks * kBlockRows * kGroupWidth];
};

template <typename Product, int kBlocks = Product::kMaxBlocks>
void quad_groups(const QuadJob& job, int64_t begin, int64_t end) {
  if constexpr (kBlocks > 1) {
    if (job.rows <= (kBlocks - 1) * kBlockRows) return quad_groups<Product, kBlocks - 1>(job, begin, end);
  }
  QuadProduct<Product, kBlocks>(job).run(begin, end);
}

#undef FETTLE_INLINE

}  // namespace fettle
