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
  kSparse,    // floats, or integers as in kIntChannel, without most of their zeros
};

// Which numbers of a sparse matrix are stored; layouts in tensor/sparse.h.
enum class SparsePattern : uint8_t {
  kNone,
  kBitmask,     // any
  kTwoOfFour,   // two of four neighbours in a row
  kBlock4x1,    // blocks of four neighbours in a row
  kBlock32x32,  // blocks of 32 rows by 32 columns
};

// The numbers that pick one scheme; compared as a whole.
struct Encoding {
  EncodingKind kind = EncodingKind::kDense;
  DType dense_dtype = DType::kF32;  // kDense, and kSparse of more than 8 bits
  int bits = 32;                    // stored bits of one weight, scales not counted
  int group_size = 0;               // kIntGroup only: columns that share a scale, a multiple of 8; 0: all of a row
  bool asymmetric = false;          // kIntGroup only: each group has a zero point
  bool per_tensor = false;          // kIntChannel only: all rows have one scale
  bool static_input = false;        // with input_bits 8: one scale for all rows, EncodedTensor::input_scale
  int input_bits = 0;  // 8: a linear's inputs become integers, row by row; 16: bf16; 0: the session's choice
  SparsePattern pattern = SparsePattern::kNone;  // kSparse only

  bool operator==(const Encoding&) const = default;
  static Encoding dense(DType dtype);
  static Encoding int8_channel();
  // W4A8 with input_bits 8, W4A16 with 16.
  static Encoding int4_group(int group_size, int input_bits);
  // Of the numbers of `dense`: a float type, or int8 with one scale a row.
  static Encoding sparse(const Encoding& dense, SparsePattern pattern);
};

// "f32", "bf16", "int8-channel", "int8-tensor", "int4-group32", "int3-group64-zp" (with zero points), "int2-channel"
// (groups as wide as a row; of 8 bits "int8-channel-packed"), "int8-4x1", "f32-bitmask", "bf16-2:4", "int8-32x32"
std::string encoding_name(const Encoding& encoding);

// A parameter as stored. Layout by kind:
//   kDense       data: dense_dtype [shape]
//   kIntChannel  data: i8 [shape], symmetric in [-127, 127]; scales: f32 [shape[0]], [1] when per tensor
//   kIntGroup    data: i32 [shape[0], ceil(shape[1] / (32 / bits))], see tensor/int_group.h; scales: a float type
//                [shape[0], ceil(shape[1] / group_size)] ([shape[0], 1] when 0), not negative
//   kSparse      data: the kept numbers, i8 or dense_dtype; index: u8, see tensor/sparse.h; scales: as in kIntChannel,
//                undefined for floats
// Rank is 2 for every kind but kDense.
struct EncodedTensor {
  Encoding encoding;
  Shape shape;  // logical
  Tensor data;
  Tensor scales;          // undefined for kDense
  Tensor index = {};      // kSparse only
  Tensor zeros = {};      // kIntGroup, asymmetric only: u8 [shape[0], groups], the stored integer that means 0
  float input_scale = 0;  // static_input only: x = q · input_scale, q in [-127, 127]. Calibrated; above 0

  static EncodedTensor dense(Tensor values);
  int64_t size_bytes() const;  // of data, scales, index and zeros, as a file has them
  // All values as f32; shares the buffer when already dense f32.
  Tensor decode() const;
};

// Encodes f32 values [rows, cols] by an encoding: integers to nearest on the grid that tensor/int_grid.h chooses. A
// sparse one: its dense form without the zeros (tensor/sparse.h), kFailed when a pattern does not hold all other
// numbers. kBadInput for values that are not finite, kFailed for an encoding that there is none of.
EncodedTensor encode(const Tensor& values, const Encoding& encoding);

}  // namespace fettle
