// Integers of four bits with a scale for each group of neighbours in a row.
//
// They lie as compressed-tensors' "pack-quantized" files store them, so that a mapped file is used where it lies: eight
// to a 32-bit word, the first in the lowest bits, each as q + 8; what fills a row's last word up is 0. See
// pack_to_int32 in compressors/quantized_compressors/pack_quantized.py of compressed-tensors.
#pragma once

#include <cstdint>

#include "tensor/encoding.h"

namespace fettle {

constexpr int64_t kInt4PerWord = 8;

// values f32 [rows, cols], finite. Each group takes the scale with the least squared error of max|group| divided by
// 7, 7.5, 8, 8.5 and 9, rounded to bf16. By 7 nothing is cut off; by 8 all sixteen steps serve a group whose largest
// value is negative; beyond, the largest value is cut so that all others get finer steps. On the linears of a trained
// 256-wide encoder that takes a tenth off the error of 7 alone (root mean square 8.7 instead of 9.7 % at 32 columns a
// group); rounding to bf16 adds nothing that can be seen. A group of zeros gets 1. The last group of a row may be
// shorter.
EncodedTensor encode_int4_group(const Tensor& values, const Encoding& encoding);
Tensor decode_int4_group(const EncodedTensor& encoded);  // f32

// What kernels pack from: u8 [rows, ceil(cols / 2)], two's complement, the lower half first, filled up with 0.
Tensor int4_halves(const EncodedTensor& encoded);

}  // namespace fettle
