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

// Finishes the sums of one panel, which must stay until it is done. It is meant to be a local variable of the loop that
// it goes beside, so that all it holds is in registers: with its state in memory a step took five times the
// instructions.
//
// Convert: Columns, columns(weights, c) for the columns [c, c + 16); value(row_scale, sums, columns).
template <typename Convert, Activation kind>
class PanelFinisher {
 public:
  static constexpr int64_t kRowsOfStep = 4;

  PanelFinisher() = default;
  // Panel `panel` of the block.
  [[gnu::always_inline]] PanelFinisher(const PanelJob& job, const TileSums& block, int64_t panel)
      : sums_(block.sums + panel * block.panel_stride), row_scale_(job.row_scales + block.row), rows_left_(block.rows) {
    const int64_t column = block.column + panel * kPanelWidth;
    const int64_t left = job.weights->out_features - column;
    const int64_t at = block.row * job.ldy + column;
    is_bf16_ = job.y_bf16 != nullptr;
    y_ = is_bf16_ ? reinterpret_cast<std::byte*>(job.y_bf16 + at) : reinterpret_cast<std::byte*>(job.y + at);
    ldy_ = job.ldy;
    row_bytes_ = ldy_ * static_cast<int64_t>(is_bf16_ ? sizeof(uint16_t) : sizeof(float));
    if (job.residual != nullptr) residual_ = job.residual + at;
    mask_ = left >= kPanelWidth ? 0xffff : static_cast<__mmask16>((1u << left) - 1);
    columns_ = Convert::columns(*job.weights, column);
  }

  [[gnu::always_inline]] bool is_done() const { return rows_left_ <= 0; }

  // Up to four rows.
  [[gnu::always_inline]] void step() {
    if (rows_left_ >= kRowsOfStep && residual_ == nullptr) [[likely]] {
      if (is_bf16_) {
#pragma GCC unroll 4
        for (int64_t r = 0; r < kRowsOfStep; ++r) finish_row<true>(r);
      } else {
#pragma GCC unroll 4
        for (int64_t r = 0; r < kRowsOfStep; ++r) finish_row<false>(r);
      }
    } else {
      for (int64_t r = 0; r < kRowsOfStep && r < rows_left_; ++r) finish_last_row(r);
      if (residual_ != nullptr) residual_ += kRowsOfStep * ldy_;
    }
    sums_ += kRowsOfStep * kLineBytes;
    row_scale_ += kRowsOfStep;
    y_ += kRowsOfStep * row_bytes_;
    rows_left_ -= kRowsOfStep;
  }
  [[gnu::always_inline]] void drain() {
    while (!is_done()) step();
  }

 private:
  [[gnu::always_inline]] __m512 value(int64_t r) const {
    return activation_(Convert::value(row_scale_ + r, sums_ + r * kLineBytes, columns_));
  }
  template <bool is_bf16>
  [[gnu::always_inline]] void store(int64_t r, __m512 result) const {
    if constexpr (is_bf16) {
      _mm256_mask_storeu_epi16(y_ + r * row_bytes_, mask_, (__m256i)_mm512_cvtneps_pbh(result));
    } else {
      _mm512_mask_storeu_ps(y_ + r * row_bytes_, mask_, result);
    }
  }
  template <bool is_bf16>
  [[gnu::always_inline]] void finish_row(int64_t r) const {
    // The line of the next panel, which comes when this one is done.
    prefetch_to_write(y_ + r * row_bytes_ + kLineBytes);
    store<is_bf16>(r, value(r));
  }
  void finish_last_row(int64_t r) const {
    __m512 result = value(r);
    if (residual_ != nullptr) result = _mm512_add_ps(result, _mm512_maskz_loadu_ps(mask_, residual_ + r * ldy_));
    if (is_bf16_) {
      store<true>(r, result);
    } else {
      store<false>(r, result);
    }
  }

  // All at the next row.
  const std::byte* sums_ = nullptr;
  const float* row_scale_ = nullptr;
  std::byte* y_ = nullptr;
  int64_t ldy_ = 0;
  int64_t row_bytes_ = 0;
  bool is_bf16_ = false;
  int64_t rows_left_ = 0;
  const float* residual_ = nullptr;
  typename Convert::Columns columns_ = {};
  FusedActivation<kind> activation_;
  __mmask16 mask_ = 0;
};

// Finishes a whole TileSums, panel by panel.
template <typename Convert, Activation kind>
class TileFinisher {
 public:
  using OfPanel = PanelFinisher<Convert, kind>;

  // There may be nothing to finish (n_panels = 0).
  [[gnu::always_inline]] TileFinisher(const PanelJob& job, const TileSums& block) : job_(job), block_(block) {
    if (block_.n_panels > 0) panel_ = OfPanel(job_, block_, 0);
  }

  // Steps that a block needs.
  static int64_t n_steps(int64_t rows, int64_t n_panels) {
    return (rows + OfPanel::kRowsOfStep - 1) / OfPanel::kRowsOfStep * n_panels;
  }
  [[gnu::always_inline]] bool is_done() const { return panel_.is_done(); }
  [[gnu::always_inline]] void step() {
    if (is_done()) return;
    panel_.step();
    if (panel_.is_done() && ++n_done_ < block_.n_panels) panel_ = OfPanel(job_, block_, n_done_);
  }
  [[gnu::always_inline]] void drain() {
    while (!is_done()) step();
  }

 private:
  const PanelJob& job_;
  const TileSums& block_;
  OfPanel panel_;
  int64_t n_done_ = 0;
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
