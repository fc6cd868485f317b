#include "tensor/encoding.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/error.h"
#include "tensor/int_grid.h"
#include "tensor/int_group.h"
#include "tensor/sparse.h"

namespace fettle {
namespace {

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

// data i8 [rows, cols], scales f32 [rows], or [1] for all
Tensor decode_int_channel(const EncodedTensor& encoded) {
  Tensor out(DType::kF32, encoded.shape);
  const int64_t n_rows = encoded.shape[0];
  const int64_t n_cols = encoded.shape[1];
  const int8_t* quantized = encoded.data.data<int8_t>();
  const float* scales = encoded.scales.data<float>();
  float* values = out.mutable_data<float>();
  for (int64_t r = 0; r < n_rows; ++r) {
    const float scale = scales[encoded.encoding.per_tensor ? 0 : r];
    for (int64_t c = 0; c < n_cols; ++c) {
      values[r * n_cols + c] = static_cast<float>(quantized[r * n_cols + c]) * scale;
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
  if (encoding.kind == EncodingKind::kIntChannel) {
    return fmt::format("int{}-{}", encoding.bits, encoding.per_tensor ? "tensor" : "channel");
  }
  const char* suffix = encoding.asymmetric ? "-zp" : "";
  if (encoding.group_size > 0) return fmt::format("int{}-group{}{}", encoding.bits, encoding.group_size, suffix);
  // Not to be mistaken for the integers of kIntChannel.
  if (encoding.bits == 8 && !encoding.asymmetric) suffix = "-packed";
  return fmt::format("int{}-channel{}", encoding.bits, suffix);
}

EncodedTensor EncodedTensor::dense(Tensor values) {
  EncodedTensor out;
  out.encoding = Encoding::dense(values.dtype());
  out.shape = values.shape();
  out.data = std::move(values);
  return out;
}

int64_t EncodedTensor::size_bytes() const {
  int64_t n = data.size_bytes();
  if (scales.defined()) n += scales.size_bytes();
  if (index.defined()) n += index.size_bytes();
  if (zeros.defined()) n += words_of_row(zeros.dim(0), encoding.bits) * zeros.dim(1) * dtype_size(DType::kI32);
  if (encoding.static_input) n += dtype_size(DType::kF32);
  return n;
}

Tensor EncodedTensor::decode() const {
  if (encoding.kind == EncodingKind::kDense) return data.to(DType::kF32);
  if (encoding.kind == EncodingKind::kIntGroup) return decode_int_group(*this);
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
  const IntGrid grid = choose_grid(floats, encoding);
  return from_integers(round_to_grid(floats, grid, encoding), grid, encoding);
}

}  // namespace fettle
