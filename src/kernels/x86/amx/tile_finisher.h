// Finishing sums beside the products that follow: scales and bias, activation, residual. A little at each step, so that
// the vector units do it while the tiles are busy.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/packed_panels.h"
#include "kernels/vector/activation.inl.h"
#include "kernels/vector/prefetch.h"
#include "kernels/x86/avx512/gelu_table.h"
#include "kernels/x86/vec16.h"

namespace fettle::amx {

// An activation with what it needs in registers.
template <Activation kind>
struct FusedActivation {
  __m512 operator()(__m512 x) const { return vector::activation_value<x86::Vec16, kind>(x); }
};
template <>
struct FusedActivation<Activation::kGelu> : avx512::GeluLookup {
  FusedActivation() : GeluLookup(avx512::gelu_table(Activation::kGelu)) {}
};
template <>
struct FusedActivation<Activation::kGeluTanh> : avx512::GeluLookup {
  FusedActivation() : GeluLookup(avx512::gelu_table(Activation::kGeluTanh)) {}
};

// Sums of some rows by some panels: panel p's are [rows][16] of 32 bits at sums + p · panel_stride.
struct TileSums {
  const std::byte* sums = nullptr;
  int64_t panel_stride = 0;
  int64_t n_panels = 0;
  int64_t row = 0;
  int64_t rows = 0;
  int64_t column = 0;
};

// Convert: Columns, columns(weights, c) for the columns [c, c + 16); value(job, row, sums, columns).
template <typename Convert, Activation kind>
class TileFinisher {
 public:
  static constexpr int64_t kRowsOfStep = 4;

  explicit TileFinisher(const PanelJob& job) : job_(job) {}

  // What is left of the sums before is finished first. The sums must stay until they are.
  void take(const TileSums& block) {
    drain();
    block_ = block;
    row_ = 0;
    panel_ = 0;
  }
  // Steps that a block needs.
  static int64_t n_steps(int64_t rows, int64_t n_panels) { return (rows + kRowsOfStep - 1) / kRowsOfStep * n_panels; }

  [[gnu::always_inline]] void step() {
    if (panel_ >= block_.n_panels) return;
    const int64_t column = block_.column + panel_ * kPanelWidth;
    const typename Convert::Columns columns = Convert::columns(*job_.weights, column);
    const int64_t left = job_.weights->out_features - column;
    const __mmask16 mask = left >= kPanelWidth ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    const std::byte* sums = block_.sums + panel_ * block_.panel_stride + row_ * kLineBytes;
    const FusedActivation<kind> activation;
    const int64_t at = (block_.row + row_) * job_.ldy + column;
    const int64_t rows = block_.rows - row_ < kRowsOfStep ? block_.rows - row_ : kRowsOfStep;
    // The lines of the next panel, which comes when these rows have been finished for this one.
#pragma GCC unroll 4
    for (int64_t r = 0; r < kRowsOfStep; ++r) prefetch_to_write(job_.y + at + kPanelWidth + r * job_.ldy);
#pragma GCC unroll 4
    for (int64_t r = 0; r < kRowsOfStep; ++r) {
      if (r >= rows) break;
      const int64_t out = at + r * job_.ldy;
      __m512 value = Convert::value(job_, block_.row + row_ + r, sums + r * kLineBytes, columns);
      value = activation(value);
      if (job_.residual != nullptr) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, job_.residual + out));
      _mm512_mask_storeu_ps(job_.y + out, mask, value);
    }
    row_ += kRowsOfStep;
    if (row_ < block_.rows) return;
    row_ = 0;
    ++panel_;
  }
  bool reads(const std::byte* sums) const {
    return panel_ < block_.n_panels && block_.sums == sums;
  }
  void drain() {
    while (panel_ < block_.n_panels) step();
  }

 private:
  const PanelJob& job_;
  TileSums block_;
  int64_t row_ = 0;
  int64_t panel_ = 0;
};

// Calls run.operator()<kind>().
template <typename Run>
void with_activation(Activation kind, Run run) {
  switch (kind) {
    case Activation::kNone:
      return run.template operator()<Activation::kNone>();
    case Activation::kRelu:
      return run.template operator()<Activation::kRelu>();
    case Activation::kTanh:
      return run.template operator()<Activation::kTanh>();
    case Activation::kGelu:
      return run.template operator()<Activation::kGelu>();
    case Activation::kGeluTanh:
      return run.template operator()<Activation::kGeluTanh>();
  }
}

}  // namespace fettle::amx
