// Encodings: what a parameter's stored numbers mean, apart from how any processor packs them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace fettle {

enum class EncodingKind : uint8_t {
  kDense,       // one plain tensor of a float type
  kIntChannel,  // integers with one f32 scale per row (output channel): value = q · scale[row]
  kIntGroup,  // integers with one scale for each group of neighbours in a row: value = q · scale[row, column / group]
};

// The numbers that pick one scheme; compared as a whole.
struct Encoding {
  EncodingKind kind = EncodingKind::kDense;
  DType dense_dtype = DType::kF32;  // kDense only
  int bits = 32;                    // stored bits of one weight, scales not counted
  int group_size = 0;               // kIntGroup only: columns that share a scale, a multiple of 8
  int input_bits = 0;  // 8: a linear's inputs become integers, row by row; 16: bf16; 0: the session's choice

  bool operator==(const Encoding&) const = default;
  static Encoding dense(DType dtype);
  static Encoding int8_channel();
  // W4A8 with input_bits 8, W4A16 with 16.
  static Encoding int4_group(int group_size, int input_bits);
};

std::string encoding_name(const Encoding& encoding);  // "f32", "bf16", "int8-channel", "int4-group32"

// A parameter as stored. Layout by kind:
//   kDense       data: dense_dtype [shape]
//   kIntChannel  data: i8 [shape], symmetric in [-127, 127]; scales: f32 [shape[0]]
//   kIntGroup    data: i32 [shape[0], ceil(shape[1] / 8)], see tensor/int4_group.h; scales: a float type
//                [shape[0], ceil(shape[1] / group_size)], not negative
// Rank is 2 for every kind but kDense.
struct EncodedTensor {
  Encoding encoding;
  Shape shape;  // logical
  Tensor data;
  Tensor scales;  // undefined for kDense

  static EncodedTensor dense(Tensor values);
  int64_t size_bytes() const;  // of data and scales
  // All values as f32; shares the buffer when already dense f32.
  Tensor decode() const;
};

// Encodes f32 values [rows, cols] by an encoding, ties to even. int8-channel: symmetric absmax, scale = max|row| / 127
// (techniques C2). int4-group: see tensor/int4_group.h (techniques D1). kBadInput for values that are not finite.
EncodedTensor encode(const Tensor& values, const Encoding& encoding);

}  // namespace fettle
