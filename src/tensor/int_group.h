// Integers of 2 to 8 bits with a scale, and maybe a zero point, for each group of neighbours in a row.
//
// They lie as compressed-tensors' "pack-quantized" files store them, so that a mapped file is used where it lies:
// 32 / bits of them to a 32-bit word (16, 10, 8, 5, 4 of 2, 3, 4, 6, 8 bits), the first in the lowest bits, each as a
// number from 0 on: q + 2^(bits - 1) without zero points, q itself with them. What fills a row's last word up is 0. See
// pack_to_int32 in compressors/quantized_compressors/pack_quantized.py of compressed-tensors.
#pragma once

#include <cstdint>

#include "tensor/encoding.h"

namespace fettle {

// 2, 3, 4, 6 or 8.
bool is_group_bits(int bits);
int64_t integers_per_word(int bits);
int64_t words_of_row(int64_t n_cols, int bits);
// Columns that share a scale, and how many such groups a row has. Of kIntGroup.
int64_t group_width(const Encoding& encoding, int64_t n_cols);
int64_t groups_of_row(const Encoding& encoding, int64_t n_cols);
// What is stored for q = 0 of a symmetric encoding: 2^(bits - 1).
int stored_offset(int bits);

// n stored numbers of a row.
void pack_row(const uint8_t* numbers, int64_t n, int bits, uint32_t* words);
void unpack_row(const uint32_t* words, int64_t n, int bits, uint8_t* numbers);

// f32 values of one row, or of all. value = (number - zero) · scale, in f32.
void decode_int_row(const EncodedTensor& encoded, int64_t row, float* values);
Tensor decode_int_group(const EncodedTensor& encoded);

// Zero points as files have them: i32 [ceil(rows / integers_per_word), groups], packed down the columns; and back to
// u8 [rows, groups].
Tensor packed_zeros(const EncodedTensor& encoded);
Tensor unpacked_zeros(const Tensor& packed, int bits, int64_t n_rows);

// What the kernels for four bits pack from: u8 [rows, ceil(cols / 2)], two's complement, the lower half first, filled
// up with 0. For symmetric encodings of at most 4 bits.
Tensor int4_halves(const EncodedTensor& encoded);

}  // namespace fettle
