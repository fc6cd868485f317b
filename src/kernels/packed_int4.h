// Four-bit weights: how their groups' scales become small multiples, and what the products with panels take them for.
//
// A product with int8 inputs wants one scale for each output, so the scale of a group is rounded to m/127 of the
// largest of its row, m in 0…127, and its weights count as the 8-bit numbers (q m + 4) >> 3 with the row's scale 8/127
// · largest.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/kernel_table.h"

namespace fettle {

// Multiples of the groups and scales of the rows.
struct Int4Codes {
  int64_t n_groups = 0;            // of a row
  std::vector<uint8_t> multiples;  // [out_features, n_groups], at most 127
  std::vector<float> scales;       // [out_features]
};
Int4Codes int4_codes(const Int4Weights& weights);

// Weight (row, k) of the stored nibbles, in [-8, 7].
inline int int4_value(const Int4Weights& w, int64_t row, int64_t k) {
  const uint8_t pair = w.values[row * ((w.in_features + 1) / 2) + k / 2];
  const int nibble = k % 2 == 0 ? pair & 15 : pair >> 4;
  return nibble >= 8 ? nibble - 16 : nibble;
}
// Weights k to k + 7 of a row as nibbles from the lowest bits on, zeros behind the row's end; k is a multiple of 8. All
// of them are of one group.
inline uint32_t int4_eight(const Int4Weights& w, int64_t row, int64_t k) {
  const int64_t row_bytes = (w.in_features + 1) / 2;
  const int64_t n = w.in_features - k < 8 ? w.in_features - k : 8;
  uint32_t eight = 0;
  std::memcpy(&eight, w.values + row * row_bytes + k / 2, static_cast<size_t>((n + 1) / 2));
  return n < 8 ? eight & ((uint32_t{1} << (4 * n)) - 1) : eight;
}
inline int int4_of_eight(uint32_t eight, int i) {
  return static_cast<int32_t>(eight << (28 - 4 * i)) >> 28;
}
// Arithmetic shift: rounds halves up.
inline int8_t int4_as_int8(int value, int multiple) {
  return static_cast<int8_t>((value * multiple + 4) >> 3);
}

// Errors: kBadInput when sizes are negative, overflow or lack data, or a group is no multiple of 8.
void check_int4_weights(const Int4Weights& weights);

// For tables without kernels of their own: the weights are unpacked once and given to the table's other function.
using PackFunction = std::unique_ptr<PackedLinear> (*)(const LinearWeights&);
std::unique_ptr<PackedLinear> unpack_as_int8(const Int4Weights& weights, PackFunction pack_int8);
std::unique_ptr<PackedLinear> unpack_as_bf16(const Int4Weights& weights, PackFunction pack_bf16);

}  // namespace fettle
