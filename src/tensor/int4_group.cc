#include "tensor/int4_group.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fettle {
namespace {

constexpr float kLowest = -8;
constexpr float kHighest = 7;
constexpr float kDivisors[] = {7, 7.5f, 8, 8.5f, 9};
constexpr uint32_t kOffset = 8;

int64_t words_of(int64_t n_cols) {
  return (n_cols + kInt4PerWord - 1) / kInt4PerWord;
}

int64_t groups_of(int64_t n_cols, int64_t group_size) {
  return (n_cols + group_size - 1) / group_size;
}

float quantize(float value, float scale) {
  return std::clamp(std::nearbyintf(value / scale), kLowest, kHighest);
}

double squared_error(const float* values, int64_t n, float scale) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double error = static_cast<double>(values[i]) - static_cast<double>(quantize(values[i], scale)) * scale;
    sum += error * error;
  }
  return sum;
}

// As bf16.
uint16_t group_scale(const float* values, int64_t n) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(values[i]));
  uint16_t best = f32_to_bf16(1.0f);
  double least = std::numeric_limits<double>::infinity();
  for (const float divisor : kDivisors) {
    const uint16_t candidate = f32_to_bf16(largest / divisor);
    const float scale = bf16_to_f32(candidate);
    // Zeros; and next to the largest float, where eight steps overflow.
    if (scale <= 0 || !std::isfinite(scale * kLowest)) continue;
    const double error = squared_error(values, n, scale);
    if (error >= least) continue;
    least = error;
    best = candidate;
  }
  return best;
}

int32_t quantized(uint32_t word, int64_t column) {
  const auto shift = static_cast<uint32_t>(4 * (column % kInt4PerWord));
  return static_cast<int32_t>((word >> shift) & 15u) - static_cast<int32_t>(kOffset);
}

}  // namespace

EncodedTensor encode_int4_group(const Tensor& values, const Encoding& encoding) {
  const int64_t n_rows = values.dim(0);
  const int64_t n_cols = values.dim(1);
  const int64_t n_words = words_of(n_cols);
  const int64_t n_groups = groups_of(n_cols, encoding.group_size);
  EncodedTensor out{encoding, values.shape(), Tensor(DType::kI32, {n_rows, n_words}),
                    Tensor(DType::kBF16, {n_rows, n_groups})};
  auto* words = out.data.mutable_data<uint32_t>();
  auto* scales = out.scales.mutable_data<uint16_t>();
  for (int64_t r = 0; r < n_rows; ++r) {
    const float* row = values.data<float>() + r * n_cols;
    for (int64_t group = 0; group < n_groups; ++group) {
      const int64_t begin = group * encoding.group_size;
      const int64_t end = std::min<int64_t>(n_cols, begin + encoding.group_size);
      const uint16_t scale = group_scale(row + begin, end - begin);
      scales[r * n_groups + group] = scale;
      for (int64_t c = begin; c < end; ++c) {
        const auto q = static_cast<int32_t>(quantize(row[c], bf16_to_f32(scale)));
        const auto offset = static_cast<uint32_t>(q + static_cast<int32_t>(kOffset));
        words[r * n_words + c / kInt4PerWord] |= offset << static_cast<uint32_t>(4 * (c % kInt4PerWord));
      }
    }
  }
  return out;
}

Tensor decode_int4_group(const EncodedTensor& encoded) {
  Tensor out(DType::kF32, encoded.shape);
  const int64_t n_rows = encoded.shape[0];
  const int64_t n_cols = encoded.shape[1];
  const int64_t n_words = words_of(n_cols);
  const int64_t group_size = encoded.encoding.group_size;
  const int64_t n_groups = groups_of(n_cols, group_size);
  const Tensor scales = encoded.scales.to(DType::kF32);
  float* values = out.mutable_data<float>();
  for (int64_t r = 0; r < n_rows; ++r) {
    const uint32_t* words = encoded.data.data<uint32_t>() + r * n_words;
    const float* row_scales = scales.data<float>() + r * n_groups;
    for (int64_t c = 0; c < n_cols; ++c) {
      values[r * n_cols + c] = static_cast<float>(quantized(words[c / kInt4PerWord], c)) * row_scales[c / group_size];
    }
  }
  return out;
}

Tensor int4_halves(const EncodedTensor& encoded) {
  const int64_t n_rows = encoded.shape[0];
  const int64_t n_cols = encoded.shape[1];
  const int64_t n_words = words_of(n_cols);
  const int64_t n_bytes = (n_cols + 1) / 2;
  Tensor out(DType::kU8, {n_rows, n_bytes});
  for (int64_t r = 0; r < n_rows; ++r) {
    const uint32_t* words = encoded.data.data<uint32_t>() + r * n_words;
    uint8_t* bytes = out.mutable_data<uint8_t>() + r * n_bytes;
    for (int64_t b = 0; b < n_bytes; ++b) {
      // Changing the highest of its bits turns q + 8 into q as two's complement.
      const uint32_t pair = (words[b / 4] ^ 0x88888888u) >> static_cast<uint32_t>(8 * (b % 4));
      bytes[b] = static_cast<uint8_t>(pair);
    }
    if (n_cols % 2 != 0) bytes[n_bytes - 1] &= 0x0f;
  }
  return out;
}

}  // namespace fettle
