#include "tensor/encoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "tensor/int4_group.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

constexpr float kInt8Max = 127.0f;

void require_finite_matrix(const Tensor& values, const Encoding& encoding) {
  if (values.rank() != 2) {
    failed("weights", fmt::format("{} needs a matrix, not the shape {}", encoding_name(encoding),
                                  shape_to_string(values.shape())));
  }
  for (int64_t i = 0; i < values.size(); ++i) {
    const float value = values.data<float>()[i];
    if (std::isfinite(value)) continue;
    bad_input("weights", fmt::format("the value at row {}, column {} is {}", i / values.dim(1), i % values.dim(1),
                                     std::isnan(value) ? "not a number" : "infinite"));
  }
}

// The scale of one row. A row of zeros, or one too small for a scale above zero, gets 1 and decodes to zeros.
float row_scale(const float* row, int64_t n_cols) {
  float largest = 0;
  for (int64_t c = 0; c < n_cols; ++c) largest = std::max(largest, std::fabs(row[c]));
  const float scale = largest / kInt8Max;
  if (scale <= 0) return 1.0f;
  // Next to the largest float the quotient may have been rounded up to where 127 steps overflow.
  return std::isfinite(scale * kInt8Max) ? scale : std::nextafterf(scale, 0.0f);
}

// values f32 [rows, cols]
EncodedTensor encode_int8_channel(const Tensor& values) {
  const int64_t n_rows = values.dim(0);
  const int64_t n_cols = values.dim(1);
  EncodedTensor out{Encoding::int8_channel(), values.shape(), Tensor(DType::kI8, values.shape()),
                    Tensor(DType::kF32, {n_rows})};
  int8_t* quantized = out.data.mutable_data<int8_t>();
  float* scales = out.scales.mutable_data<float>();
  for (int64_t r = 0; r < n_rows; ++r) {
    const float* row = values.data<float>() + r * n_cols;
    scales[r] = row_scale(row, n_cols);
    for (int64_t c = 0; c < n_cols; ++c) {
      // A denormal scale is coarse, so the quotient may pass 127.
      const float q = std::clamp(std::nearbyintf(row[c] / scales[r]), -kInt8Max, kInt8Max);
      quantized[r * n_cols + c] = static_cast<int8_t>(q);
    }
  }
  return out;
}

// data i8 [rows, cols], scales f32 [rows]
Tensor decode_int_channel(const EncodedTensor& encoded) {
  Tensor out(DType::kF32, encoded.shape);
  const int64_t n_rows = encoded.shape[0];
  const int64_t n_cols = encoded.shape[1];
  const int8_t* quantized = encoded.data.data<int8_t>();
  const float* scales = encoded.scales.data<float>();
  float* values = out.mutable_data<float>();
  for (int64_t r = 0; r < n_rows; ++r) {
    for (int64_t c = 0; c < n_cols; ++c) {
      values[r * n_cols + c] = static_cast<float>(quantized[r * n_cols + c]) * scales[r];
    }
  }
  return out;
}

}  // namespace

Encoding Encoding::dense(DType dtype) {
  return {.kind = EncodingKind::kDense, .dense_dtype = dtype, .bits = static_cast<int>(8 * dtype_size(dtype))};
}

Encoding Encoding::int8_channel() {
  return {.kind = EncodingKind::kIntChannel, .bits = 8, .input_bits = 8};
}

Encoding Encoding::int4_group(int group_size, int input_bits) {
  return {.kind = EncodingKind::kIntGroup, .bits = 4, .group_size = group_size, .input_bits = input_bits};
}

Encoding Encoding::sparse(const Encoding& dense, SparsePattern pattern) {
  Encoding encoding = dense;
  encoding.kind = EncodingKind::kSparse;
  encoding.pattern = pattern;
  return encoding;
}

std::string encoding_name(const Encoding& encoding) {
  if (encoding.kind == EncodingKind::kDense) return std::string(dtype_name(encoding.dense_dtype));
  if (encoding.kind == EncodingKind::kSparse) {
    const std::string numbers = encoding.bits == 8 ? "int8" : std::string(dtype_name(encoding.dense_dtype));
    return fmt::format("{}-{}", numbers, pattern_name(encoding.pattern));
  }
  if (encoding.kind == EncodingKind::kIntGroup) return fmt::format("int{}-group{}", encoding.bits, encoding.group_size);
  return fmt::format("int{}-channel", encoding.bits);
}

EncodedTensor EncodedTensor::dense(Tensor values) {
  EncodedTensor out;
  out.encoding = Encoding::dense(values.dtype());
  out.shape = values.shape();
  out.data = std::move(values);
  return out;
}

int64_t EncodedTensor::size_bytes() const {
  return data.size_bytes() + (scales.defined() ? scales.size_bytes() : 0) + (index.defined() ? index.size_bytes() : 0);
}

Tensor EncodedTensor::decode() const {
  if (encoding.kind == EncodingKind::kDense) return data.to(DType::kF32);
  if (encoding.kind == EncodingKind::kIntGroup) return decode_int4_group(*this);
  if (encoding.kind == EncodingKind::kSparse) return to_dense(*this).decode();
  return decode_int_channel(*this);
}

EncodedTensor encode(const Tensor& values, const Encoding& encoding) {
  const Tensor floats = values.to(DType::kF32);
  if (encoding.kind == EncodingKind::kDense) return EncodedTensor::dense(floats.to(encoding.dense_dtype));
  require_finite_matrix(floats, encoding);
  if (encoding.kind == EncodingKind::kSparse) {
    return to_sparse(encode(floats, numbers_of(encoding)), encoding.pattern);
  }
  const bool has_inputs = encoding.input_bits == 8 || encoding.input_bits == 16;
  Encoding channel = Encoding::int8_channel();
  channel.input_bits = encoding.input_bits;
  if (has_inputs && encoding == channel) {
    EncodedTensor encoded = encode_int8_channel(floats);
    encoded.encoding = encoding;
    return encoded;
  }
  const bool has_groups = encoding.group_size > 0 && encoding.group_size % kInt4PerWord == 0;
  if (!has_groups || !has_inputs || encoding != Encoding::int4_group(encoding.group_size, encoding.input_bits)) {
    failed("weights", fmt::format("no encoder for {}", encoding_name(encoding)));
  }
  return encode_int4_group(floats, encoding);
}

}  // namespace fettle
