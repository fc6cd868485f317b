// The grid of integers that weights are rounded to, apart from how each is rounded: nearest, learned, or one column
// after the other with what is left over (GPTQ).
#pragma once

#include "tensor/encoding.h"

namespace fettle {

// Of the groups of a matrix [rows, cols]: all of a row where group_size is 0, one for all rows ([1, 1]) where the
// encoding is per tensor. value = (q - zero) · scale.
struct IntGrid {
  Tensor scales;  // f32 [rows, groups]; already rounded as it will be stored. Above 0
  Tensor zeros;   // u8 [rows, groups]: the stored integer that means 0; undefined when symmetric
};

// Integers that one weight can be, without the zero point: 4 bits: -8 … 7 symmetric, 0 … 15 with a zero point; 8 bits
// symmetric: -127 … 127.
struct IntRange {
  int lowest = -8;
  int highest = 7;
};
IntRange int_range(const Encoding& encoding);

// "" where weights can be stored so, else why not, in a phrase: kIntChannel of 8 bits, with one scale a row or for all;
// kIntGroup of 2, 3, 4, 6 or 8 bits with groups of a multiple of 8; inputs of 8 or 16 bits, static ones of 8.
std::string encoding_fault(const Encoding& encoding);

// A scale as it will be stored: rounded to bf16 in groups. For those that are learned.
float stored_scale(const Encoding& encoding, float scale);

// The grid that `encode` takes for these values f32 [rows, cols].
//   kIntChannel: scale = max|row| / 127 (techniques C2), of all rows when per tensor.
//   kIntGroup, symmetric: scale = max|group| / d, rounded to bf16, with the d of least squared error. h being the
//   largest integer (4 bits: 7), d begins at h and goes on in steps of (h + 1) / 16: five of them (h … 9/8 h) where
//   groups of 4 bits or more are to cut a few off at most, 33 (h … 3 h) below 4 bits and for whole rows, where the
//   few largest are worth less than the steps of all others. By h nothing is cut off; by h + 1 all steps serve a group
//   whose largest value is negative; beyond, the largest value is cut so that all others get finer steps. On the
//   linears of a trained 256-wide encoder that takes a tenth off the error of 7 alone (root mean square 8.7 instead of
//   9.7 % at 32 columns a group); rounding to bf16 adds nothing that can be seen.
//   kIntGroup, asymmetric (techniques C1): scale = (high - low) / (2^bits - 1), zero = round(-low / scale), where low
//   and high are the group's smallest and largest value, and 0 between them, both shrunk by the factor of least squared
//   error: 1 … 0.8 in steps of 0.05, or 1 … 1/4 in steps of 1/32.
// A group of zeros gets scale 1 and zero 0. The last group of a row may be shorter.
IntGrid choose_grid(const Tensor& values, const Encoding& encoding);
// i32 [rows, cols]: nearest, ties to even, within the range: clamp(round(value / scale) + zero).
Tensor round_to_grid(const Tensor& values, const IntGrid& grid, const Encoding& encoding);
// The stored form of integers i32 [rows, cols] on a grid; kFailed for one that is out of range. The scales of groups
// are stored as bf16 where that is exact, else as f32.
EncodedTensor from_integers(const Tensor& integers, const IntGrid& grid, const Encoding& encoding);

// The same values with one scale for each row in place of one for all; shares memory with others.
EncodedTensor with_row_scales(const EncodedTensor& encoded);

}  // namespace fettle
