// Weights in panels of sixteen columns, the part of PackedLinear that every fast instruction set shares: it checks and
// lays out the weights, prepares the input rows, and cuts the work. An instruction set gives a PanelKernel. This code
// is compiled for the baseline processor; the kernels' own files hold no inline functions that another file could take.
//
// Memory order. A panel holds 16 output columns: [k / k_group][16][k_group], zero-padded in k, so one 64-byte row of an
// AMX tile (or one vector register) is 16 columns × 4 bytes. Panels are worked on six at a time (one group = 96
// columns); the panels of one position in the group lie behind each other, so that a pass over the groups reads six
// streams, each of them contiguous: reading several streams at once is what gets the memory's full bandwidth. Prepared
// rows: blocks of row_block rows, each [k / per_line][row_block][64 bytes].
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/kernel_table.h"

namespace fettle {

inline constexpr int64_t kPanelWidth = 16;
inline constexpr int64_t kGroupPanels = 6;
inline constexpr int64_t kGroupWidth = kPanelWidth * kGroupPanels;
inline constexpr int64_t kLineBytes = 64;

// Quantization of an input row: factor = 127 / absmax, q = round_to_even(x · factor), scale = absmax / 127. A row whose
// absmax is below kMinAbsmax counts as zero (the factor would overflow); a row with a NaN or an infinity has scale NaN,
// and so all its outputs are NaN. Outputs are float(Σ q w) · (scale · weight_scale) + bias, in this order, never fused.
//
// With a scale that was given for all rows (PrepareRows::input_scale): factor = 1 / scale, and q is cut to -127 … 127.
// Rows with a NaN or an infinity have scale NaN here too, whatever their q.
inline constexpr float kMinAbsmax = 1e-36f;
float quantize_factor(float absmax);
float quantize_scale(float absmax);

// Panels that are wanted next.
struct PanelsAhead {
  const std::byte* panels[kGroupPanels] = {};
  int64_t n_panels = 0;
  int64_t panel_bytes = 0;
};

// Packed weights as a kernel sees them.
struct PanelWeights {
  int64_t out_features = 0;
  int64_t in_features = 0;
  int64_t k_padded = 0;
  int64_t n_panels = 0;
  int64_t n_groups = 0;
  int64_t panel_bytes = 0;
  const std::byte* data = nullptr;
  const float* bias = nullptr;       // [16 · n_panels], zero where there is none
  const float* scales = nullptr;     // the same, int8 only
  const int32_t* offsets = nullptr;  // 128 · Σ_k w of the column, int8 only

  int64_t panels_in_group(int64_t group) const {
    const int64_t left = n_panels - group * kGroupPanels;
    return left < kGroupPanels ? left : kGroupPanels;
  }
  PanelsAhead panels_of(int64_t group) const {
    PanelsAhead ahead{.n_panels = panels_in_group(group), .panel_bytes = panel_bytes};
    for (int64_t i = 0; i < ahead.n_panels; ++i) ahead.panels[i] = panel(group, i);
    return ahead;
  }
  // Start of panel `stream` of `group`; the next group's panel of that stream follows it.
  const std::byte* panel(int64_t group, int64_t stream) const {
    const int64_t in_last = n_panels - (n_groups - 1) * kGroupPanels;
    const int64_t short_streams = stream > in_last ? stream - in_last : 0;
    return data + (stream * n_groups - short_streams + group) * panel_bytes;
  }
};

// One product: all rows by a range of groups.
struct PanelJob {
  const KernelTable* table = nullptr;  // for activate and add
  const PanelWeights* weights = nullptr;
  const std::byte* rows_data = nullptr;  // prepared rows
  const float* row_scales = nullptr;     // [rows], int8 only
  int64_t rows = 0;
  float* y = nullptr;
  uint16_t* y_bf16 = nullptr;  // in place of y, only where the kernel has prepare_bf16
  int64_t ldy = 0;
  Activation activation = Activation::kNone;
  const float* residual = nullptr;
  PanelsAhead ahead = {};  // to be fetched during the product with the last group
};

// Rows of x to be prepared: at most row_block of them.
struct PrepareRows {
  const float* x = nullptr;
  const uint16_t* x_bf16 = nullptr;  // in place of x, for prepare_bf16
  int64_t ldx = 0;
  int64_t rows = 0;
  int64_t in_features = 0;
  int64_t k_padded = 0;
  int64_t row_block = 0;
  float input_scale = 0;  // int8 only; 0: each row takes its own
};

struct PanelKernel {
  int64_t weight_bytes = 4;  // of one stored weight; not used for 4 bits
  int64_t k_group = 1;
  int64_t input_bytes = 4;  // of one prepared input
  int64_t k_multiple = 16;  // k is padded to a multiple of this; the prepared line of 64 bytes divides it
  int64_t row_block = 16;
  void (*prepare)(const PrepareRows& from, std::byte* to, float* scales) = nullptr;
  // From bf16. A kernel that has it also writes bf16.
  void (*prepare_bf16)(const PrepareRows& from, std::byte* to, float* scales) = nullptr;
  void (*columns)(const PanelJob& job, int64_t group_begin, int64_t group_end) = nullptr;
};

// Finished values of `rows` rows and up to 96 columns (row stride kGroupWidth, bias added) on their way to y:
// activation, residual. `block` is overwritten. y may be the residual.
void finish_block(const PanelJob& job, float* block, int64_t row, int64_t rows, int64_t column, int64_t n_columns);

// Errors: kBadInput when sizes are negative, overflow or lack data; for int8 also when int32 sums could overflow.
void check_linear_weights(const LinearWeights& weights);
void check_int8_weights(const LinearWeights& weights);
void check_int8_features(int64_t in_features);
// kBadInput for a scale of the inputs that is neither 0 nor one that can be divided by.
void check_input_scale(float input_scale);

// install puts `activate` and `add` of the instruction set into a table.
std::unique_ptr<PackedLinear> pack_panels(const LinearWeights& weights, const PanelKernel& kernel,
                                          void (*install)(KernelTable&));
// Weights of 4 bits, in the forms of kernels/int4_panels.h; groups of a multiple of 32 inputs.
std::unique_ptr<PackedLinear> pack_int4_panels(const Int4Weights& weights, const PanelKernel& kernel,
                                               void (*install)(KernelTable&));
std::unique_ptr<PackedLinear> pack_int4_bf16_panels(const Int4Weights& weights, const PanelKernel& kernel,
                                                    void (*install)(KernelTable&));
std::unique_ptr<PackedLinear> pack_int8_panels(const LinearWeights& weights, const PanelKernel& kernel,
                                               void (*install)(KernelTable&));

}  // namespace fettle
