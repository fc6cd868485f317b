// The grid of integers that weights are rounded to, apart from how each is rounded: nearest, learned, or one column
// after the other with what is left over (GPTQ).
#pragma once

#include "tensor/encoding.h"

namespace fettle {

// Of the groups of a matrix [rows, cols]: all of a row where group_size is 0, one for all rows where the encoding is
// per tensor. value = (q - zero) · scale.
struct IntGrid {
  Tensor scales;  // f32 [rows, groups]; already rounded as it will be stored. Above 0
  Tensor zeros;   // u8 [rows, groups]: the stored integer that means 0; undefined when symmetric
};

// Integers that one weight can be, without the zero point: 4 bits: -8 … 7 symmetric, 0 … 15 with a zero point; 8 bits
// per row: -127 … 127.
struct IntRange {
  int lowest = -8;
  int highest = 7;
};
IntRange int_range(const Encoding& encoding);

// The grid that `encode` takes for these values f32 [rows, cols].
IntGrid choose_grid(const Tensor& values, const Encoding& encoding);
// i32 [rows, cols]: nearest, ties to even, within the range.
Tensor round_to_grid(const Tensor& values, const IntGrid& grid, const Encoding& encoding);
// The stored form of integers i32 [rows, cols] on a grid; kFailed for one that is out of range.
EncodedTensor from_integers(const Tensor& integers, const IntGrid& grid, const Encoding& encoding);

}  // namespace fettle
