#include "tensor/encoding.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace fettle {
namespace {

constexpr float kInt8Max = 127.0f;

void require_finite(const float* row, int64_t n_cols, int64_t row_index) {
  for (int64_t c = 0; c < n_cols; ++c) {
    if (std::isfinite(row[c])) continue;
    bad_input("weights", fmt::format("the value at row {}, column {} is {}", row_index, c,
                                     std::isnan(row[c]) ? "not a number" : "infinite"));
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
  if (values.rank() != 2) {
    failed("weights", "int8-channel needs a matrix, not the shape " + shape_to_string(values.shape()));
  }
  const int64_t n_rows = values.dim(0);
  const int64_t n_cols = values.dim(1);
  EncodedTensor out{Encoding::int8_channel(), values.shape(), Tensor(DType::kI8, values.shape()),
                    Tensor(DType::kF32, {n_rows})};
  int8_t* quantized = out.data.mutable_data<int8_t>();
  float* scales = out.scales.mutable_data<float>();
  for (int64_t r = 0; r < n_rows; ++r) {
    const float* row = values.data<float>() + r * n_cols;
    require_finite(row, n_cols, r);
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
  return {EncodingKind::kDense, dtype, static_cast<int>(8 * dtype_size(dtype))};
}

Encoding Encoding::int8_channel() {
  return {EncodingKind::kIntChannel, DType::kF32, 8};
}

std::string encoding_name(const Encoding& encoding) {
  if (encoding.kind == EncodingKind::kDense) return std::string(dtype_name(encoding.dense_dtype));
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
  return data.size_bytes() + (scales.defined() ? scales.size_bytes() : 0);
}

Tensor EncodedTensor::decode() const {
  if (encoding.kind == EncodingKind::kDense) return data.to(DType::kF32);
  return decode_int_channel(*this);
}

EncodedTensor encode(const Tensor& values, const Encoding& encoding) {
  const Tensor floats = values.to(DType::kF32);
  if (encoding.kind == EncodingKind::kDense) return EncodedTensor::dense(floats.to(encoding.dense_dtype));
  if (encoding != Encoding::int8_channel()) {
    failed("weights", fmt::format("no encoder for {}", encoding_name(encoding)));
  }
  return encode_int8_channel(floats);
}

}  // namespace fettle
