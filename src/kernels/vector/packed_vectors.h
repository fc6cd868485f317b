// Products of prepared rows with packed panels in vector registers, for f32, bf16 and int8 on AVX2, AVX-512 and NEON.
//
// Product says what one step is: a dword of each prepared row (one f32, four int8 …) times kStepBytes of a panel.
//   Sum, Weights, Input      sums of 16 columns; one step's weights; one step's input in every lane
//   kMaxRows, panels_for(rows)   rows at most, and panels worked on at once for so many rows: what the registers hold
//   zero(), weights(p), input(p), add(sum, input, weights)
//   Column, column(w, c)     what finishes the sums of columns [c, c + 16)
//   finish(to, sum, column, row_scale)   writes 16 finished values, anywhere
// Everything here is a template on Product, so that each instruction set compiles its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/packed_panels.h"
#include "kernels/vector/far_prefetch.h"

namespace fettle {

// Lambdas that must vanish into their caller, for sums to stay in registers.
#define FETTLE_INLINE __attribute__((always_inline))

template <int kN, typename Body>
FETTLE_INLINE inline void unroll(Body body) {
  [&]<int... kI>(std::integer_sequence<int, kI...>) FETTLE_INLINE {
    (body(std::integral_constant<int, kI>()), ...);
  }
  (std::make_integer_sequence<int, kN>());
}

// The panels worked on at once: some of one group's, and the same of those that come next.
template <typename Product>
struct VectorSplit {
  const std::byte* panels[kGroupPanels] = {};
  int64_t n_panels = 0;
  int64_t column = 0;  // first of the split

  VectorSplit(const PanelWeights& w, int64_t group, int64_t first, int64_t most)
      : column(group * kGroupWidth + first * kPanelWidth) {
    const int64_t left = w.panels_in_group(group) - first;
    n_panels = left < most ? left : most;
    for (int64_t i = 0; i < n_panels; ++i) panels[i] = w.panel(group, first + i);
  }
};

// Where the values of a block go.
struct VectorValues {
  float* to = nullptr;
  int64_t stride = 0;
};

// Rows [row, row + kRows) by kPanels panels.
template <typename Product, int kRows, int kPanels>
void vector_block(const PanelJob& job, const VectorSplit<Product>& split, int64_t row, const VectorValues& values,
                  FarPrefetch<Product>& fetch) {
  constexpr int64_t kSteps = kLineBytes / 4;
  constexpr int64_t kNear = 1024;
  const PanelWeights& w = *job.weights;
  const int64_t n_lines = w.panel_bytes / (kSteps * Product::kStepBytes);
  const std::byte* rows = job.rows_data + row / Product::kMaxRows * n_lines * Product::kMaxRows * kLineBytes;
  const std::byte* panels[kPanels];
  for (int p = 0; p < kPanels; ++p) panels[p] = split.panels[p];

  typename Product::Sum sums[kRows][kPanels];
  unroll<kRows * kPanels>([&](auto i) FETTLE_INLINE { sums[i / kPanels][i % kPanels] = Product::zero(); });
  for (int64_t line = 0; line < n_lines; ++line) {
    fetch.step();
    for (int64_t s = 0; s < kSteps; ++s) {
      typename Product::Weights weights[kPanels];
      unroll<kPanels>([&](auto p) FETTLE_INLINE {
        weights[p] = Product::weights(panels[p]);
        if (s % (kLineBytes / Product::kStepBytes) == 0) prefetch_near(panels[p] + kNear);
        panels[p] += Product::kStepBytes;
      });
      unroll<kRows>([&](auto r) FETTLE_INLINE {
        const typename Product::Input input = Product::input(rows + r * kLineBytes + s * 4);
        unroll<kPanels>([&](auto p) FETTLE_INLINE { sums[r][p] = Product::add(sums[r][p], input, weights[p]); });
      });
    }
    rows += Product::kMaxRows * kLineBytes;
  }
  unroll<kPanels>([&](auto p) FETTLE_INLINE {
    const auto column = Product::column(w, split.column + p * kPanelWidth);
    unroll<kRows>([&](auto r) FETTLE_INLINE {
      Product::finish(values.to + r * values.stride + p * kPanelWidth, sums[r][p], column, job.row_scales[row + r]);
    });
  });
}

template <typename Product>
using VectorBlock = void (*)(const PanelJob&, const VectorSplit<Product>&, int64_t row, const VectorValues&,
                             FarPrefetch<Product>&);

template <typename Product, int kRows, int kPanels>
VectorBlock<Product> choose_panels(int64_t n_panels) {
  if constexpr (kPanels > 1) {
    if (n_panels < kPanels) return choose_panels<Product, kRows, kPanels - 1>(n_panels);
  }
  return vector_block<Product, kRows, kPanels>;
}

// Fewer rows than a block has room for are worked on as the next larger block of 1, 2, 4, 6, 8 … rows; what the rows
// behind them hold does not matter.
constexpr int next_smaller_block(int rows) {
  return rows > 8 ? 8 : rows > 2 ? rows - 2 : rows - 1;
}

template <typename Product, int kRows = Product::kMaxRows>
VectorBlock<Product> choose_block(int64_t rows, int64_t n_panels) {
  constexpr int kSmaller = next_smaller_block(kRows);
  if constexpr (kSmaller > 0) {
    if (rows <= kSmaller) return choose_block<Product, kSmaller>(rows, n_panels);
  }
  return choose_panels<Product, kRows, Product::panels_for(kRows)>(n_panels);
}

// Rows that the block for `rows` rows works on.
template <typename Product, int kRows>
constexpr int64_t rows_of_block(int64_t rows) {
  constexpr int kSmaller = next_smaller_block(kRows);
  if constexpr (kSmaller > 0) {
    if (rows <= kSmaller) return rows_of_block<Product, kSmaller>(rows);
  }
  return kRows;
}

// All rows by one split.
template <typename Product>
void vector_split(const PanelJob& job, const VectorSplit<Product>& split, FarPrefetch<Product>& fetch) {
  alignas(64) float block[Product::kMaxRows * kGroupWidth];
  const int64_t left_columns = job.weights->out_features - split.column;
  const int64_t n_columns = left_columns < split.n_panels * kPanelWidth ? left_columns : split.n_panels * kPanelWidth;
  const bool plain = job.activation == Activation::kNone && job.residual == nullptr;
  for (int64_t row = 0; row < job.rows; row += Product::kMaxRows) {
    const int64_t left = job.rows - row;
    const int64_t rows = left < Product::kMaxRows ? left : Product::kMaxRows;
    // Straight to y where the block writes nothing beyond what is wanted.
    const bool direct =
        plain && n_columns == split.n_panels * kPanelWidth && rows == rows_of_block<Product, Product::kMaxRows>(rows);
    const VectorValues values =
        direct ? VectorValues{job.y + row * job.ldy + split.column, job.ldy} : VectorValues{block, kGroupWidth};
    choose_block<Product>(rows, split.n_panels)(job, split, row, values, fetch);
    if (!direct) finish_block(job, block, row, rows, split.column, n_columns);
  }
}

// What is fetched while a group is worked on: all of the next one, in as many streams as it has panels, where both fit
// into the second-level cache; else the panels of the next split.
constexpr int64_t kMostFetchedBytes = int64_t{512} << 10;

template <typename Product>
FarPrefetch<Product> fetch_panels(const PanelJob& job, const PanelsAhead& panels, int64_t n_splits) {
  FarPrefetch<Product> fetch;
  for (int64_t i = 0; i < panels.n_panels; ++i) fetch.panels[i] = panels.panels[i];
  fetch.n_panels = panels.n_panels;
  fetch.n_passes = (job.rows + Product::kMaxRows - 1) / Product::kMaxRows * n_splits;
  fetch.lines_left = panels.panel_bytes / kLineBytes;
  fetch.lines_per_step = Product::kStepBytes / 4;
  return fetch;
}

// The whole product for groups [begin, end).
template <typename Product>
void vector_columns(const PanelJob& job, int64_t group_begin, int64_t group_end) {
  const PanelWeights& w = *job.weights;
  const int64_t most = Product::panels_for(static_cast<int>(rows_of_block<Product, Product::kMaxRows>(job.rows)));
  const bool by_group = w.panel_bytes * kGroupPanels <= kMostFetchedBytes;
  for (int64_t group = group_begin; group < group_end; ++group) {
    const PanelsAhead next = group + 1 < group_end ? w.panels_of(group + 1) : job.ahead;
    const int64_t n_panels = w.panels_in_group(group);
    FarPrefetch<Product> fetch;
    if (by_group) fetch = fetch_panels<Product>(job, next, (n_panels + most - 1) / most);
    for (int64_t first = 0; first < n_panels; first += most) {
      const VectorSplit<Product> split(w, group, first, most);
      if (!by_group) {
        const bool is_last = first + most >= n_panels;
        PanelsAhead ahead = is_last ? next : w.panels_of(group);
        const int64_t skipped = is_last ? 0 : first + most;
        for (int64_t i = skipped; i < ahead.n_panels; ++i) ahead.panels[i - skipped] = ahead.panels[i];
        const int64_t left = ahead.n_panels - skipped;
        ahead.n_panels = left < most ? left : most;
        fetch = fetch_panels<Product>(job, ahead, 1);
      }
      vector_split(job, split, fetch);
    }
  }
}

#undef FETTLE_INLINE

}  // namespace fettle
