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
};

// The numbers that pick one scheme; compared as a whole.
struct Encoding {
  EncodingKind kind = EncodingKind::kDense;
  DType dense_dtype = DType::kF32;  // kDense only
  int bits = 32;                    // stored bits of one weight, scales not counted

  bool operator==(const Encoding&) const = default;
  static Encoding dense(DType dtype);
  static Encoding int8_channel();
};

std::string encoding_name(const Encoding& encoding);  // "f32", "bf16", "int8-channel"

// A parameter as stored. Layout by kind:
//   kDense       data: dense_dtype [shape]
//   kIntChannel  data: i8 [shape], symmetric in [-127, 127]; scales: f32 [shape[0]]
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

// Encodes f32 values [rows, cols] by an encoding; symmetric absmax, scale = max|row| / 127, ties to even (techniques
// C2).
EncodedTensor encode(const Tensor& values, const Encoding& encoding);

}  // namespace fettle
