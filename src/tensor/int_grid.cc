#include "tensor/int_grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"
#include "tensor/int_group.h"

namespace fettle {
namespace {

constexpr float kInt8Max = 127.0f;
constexpr int kFewCandidates = 5;
constexpr int kManyCandidates = 33;
constexpr int kManyShrinks = 25;

// To nearest, ties to even, for magnitudes below 2^22: the sum has no bits left for a fraction.
float round_even(float x) {
  constexpr float kShift = 12582912.0f;  // 1.5 · 2^23
  return (x + kShift) - kShift;
}

float quantize(float value, float scale, float lowest, float highest) {
  return round_even(std::clamp(value / scale, lowest, highest));
}

double squared_error(const float* values, int64_t n, float scale, float lowest, float highest) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double q = quantize(values[i], scale, lowest, highest);
    const double error = static_cast<double>(values[i]) - q * static_cast<double>(scale);
    sum += error * error;
  }
  return sum;
}

// The scale of values that 8 bits with no zero point are for. Zeros, or values too small for a scale above zero, get 1
// and decode to zeros.
float absmax_scale(const float* values, int64_t n) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(values[i]));
  const float scale = largest / kInt8Max;
  if (scale <= 0) return 1.0f;
  // Next to the largest float the quotient may have been rounded up to where 127 steps overflow.
  return std::isfinite(scale * kInt8Max) ? scale : std::nextafterf(scale, 0.0f);
}

bool cuts_much(const Encoding& encoding) {
  return encoding.bits < 4 || (encoding.group_size == 0 && encoding.bits < 8);
}

struct GroupGrid {
  float scale = 1;
  int zero = 0;
};

GroupGrid symmetric_grid(const float* values, int64_t n, const Encoding& encoding) {
  const IntRange range = int_range(encoding);
  const auto lowest = static_cast<float>(range.lowest);
  const auto highest = static_cast<float>(range.highest);
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(values[i]));
  GroupGrid best;
  double least = std::numeric_limits<double>::infinity();
  const int n_candidates = cuts_much(encoding) ? kManyCandidates : kFewCandidates;
  for (int i = 0; i < n_candidates; ++i) {
    const float divisor = highest + static_cast<float>(i) * (highest + 1) / 16;
    const float scale = stored_scale(encoding, largest / divisor);
    // Zeros; and next to the largest float, where the lowest step overflows.
    if (scale <= 0 || !std::isfinite(scale * lowest)) continue;
    const double error = squared_error(values, n, scale, lowest, highest);
    if (error >= least) continue;
    least = error;
    best.scale = scale;
  }
  return best;
}

GroupGrid asymmetric_grid(const float* values, int64_t n, const Encoding& encoding) {
  const auto n_steps = static_cast<float>(int_range(encoding).highest);
  double low = 0;
  double high = 0;
  for (int64_t i = 0; i < n; ++i) {
    low = std::min<double>(low, values[i]);
    high = std::max<double>(high, values[i]);
  }
  GroupGrid best;
  double least = std::numeric_limits<double>::infinity();
  const bool many = cuts_much(encoding);
  for (int i = 0; i < (many ? kManyShrinks : kFewCandidates); ++i) {
    const double shrink = 1 - (many ? 1.0 / 32 : 0.05) * i;
    const float scale = stored_scale(encoding, static_cast<float>((high - low) * shrink / n_steps));
    if (scale <= 0 || !std::isfinite(scale)) continue;
    const float zero = std::clamp(std::nearbyintf(static_cast<float>(-low * shrink / scale)), 0.0f, n_steps);
    if (!std::isfinite(scale * zero) || !std::isfinite(scale * (n_steps - zero))) continue;
    const double error = squared_error(values, n, scale, -zero, n_steps - zero);
    if (error >= least) continue;
    least = error;
    best = {scale, static_cast<int>(zero)};
  }
  return best;
}

// Which scale belongs to a column of a row.
struct GroupIndex {
  GroupIndex(const IntGrid& grid, const Encoding& encoding, int64_t n_cols)
      : n_groups(grid.scales.dim(1)), width(group_width(encoding, n_cols)), has_rows(!encoding.per_tensor) {}
  int64_t operator()(int64_t row, int64_t group) const { return (has_rows ? row * n_groups : 0) + group; }

  int64_t n_groups;
  int64_t width;
  bool has_rows;
};

// fn(row, group, first column, end)
template <typename Fn>
void for_each_group(int64_t n_rows, int64_t n_cols, int64_t width, Fn fn) {
  for (int64_t r = 0; r < n_rows; ++r) {
    for (int64_t begin = 0; begin < n_cols; begin += width)
      fn(r, begin / width, begin, std::min(n_cols, begin + width));
  }
}

Tensor channel_scales(const Tensor& values, const Encoding& encoding) {
  const int64_t n_rows = encoding.per_tensor ? 1 : values.dim(0);
  const int64_t n_cols = encoding.per_tensor ? values.size() : values.dim(1);
  Tensor scales(DType::kF32, {n_rows, 1});
  for (int64_t r = 0; r < n_rows; ++r) {
    scales.mutable_data<float>()[r] = absmax_scale(values.data<float>() + r * n_cols, n_cols);
  }
  return scales;
}

// bf16 where no scale loses anything by it.
Tensor group_scales(const Tensor& scales) {
  Tensor rounded = scales.to(DType::kBF16);
  const Tensor back = rounded.to(DType::kF32);
  return std::ranges::equal(back.floats(), scales.floats()) ? rounded : scales.clone();
}

void require_valid(const Encoding& encoding) {
  const std::string fault = encoding_fault(encoding);
  if (!fault.empty()) failed("weights", fmt::format("no encoder for {}: {}", encoding_name(encoding), fault));
}

}  // namespace

IntRange int_range(const Encoding& encoding) {
  const int half = stored_offset(encoding.bits);
  if (encoding.asymmetric) return {0, 2 * half - 1};
  return {encoding.bits == 8 ? 1 - half : -half, half - 1};
}

std::string encoding_fault(const Encoding& encoding) {
  if (encoding.input_bits != 8 && encoding.input_bits != 16) {
    return fmt::format("inputs have 8 or 16 bits, not {}", encoding.input_bits);
  }
  if (encoding.static_input && encoding.input_bits != 8) return "inputs with a scale of their own have 8 bits";
  if (encoding.kind == EncodingKind::kIntChannel) {
    if (encoding.bits != 8) return fmt::format("{} bits need groups", encoding.bits);
    if (encoding.asymmetric) return "zero points need groups";
    return encoding.group_size == 0 ? "" : "it has no groups";
  }
  if (encoding.kind != EncodingKind::kIntGroup) return "it is no encoding of integers";
  if (!is_group_bits(encoding.bits)) return fmt::format("groups have 2, 3, 4, 6 or 8 bits, not {}", encoding.bits);
  if (encoding.per_tensor) return "one scale for all is for 8 bits without groups";
  if (encoding.group_size < 0 || encoding.group_size % 8 != 0) {
    return fmt::format("groups have a multiple of 8 columns, not {}", encoding.group_size);
  }
  return "";
}

float stored_scale(const Encoding& encoding, float scale) {
  return encoding.kind == EncodingKind::kIntGroup ? bf16_to_f32(f32_to_bf16(scale)) : scale;
}

IntGrid choose_grid(const Tensor& values, const Encoding& encoding) {
  require_valid(encoding);
  if (encoding.kind == EncodingKind::kIntChannel) return {channel_scales(values, encoding), {}};
  const int64_t n_rows = values.dim(0);
  const int64_t n_cols = values.dim(1);
  const int64_t n_groups = groups_of_row(encoding, n_cols);
  IntGrid grid{Tensor(DType::kF32, {n_rows, n_groups}), {}};
  std::fill_n(grid.scales.mutable_data<float>(), grid.scales.size(), 1.0f);
  if (encoding.asymmetric) grid.zeros = Tensor(DType::kU8, {n_rows, n_groups});
  for_each_group(n_rows, n_cols, group_width(encoding, n_cols), [&](int64_t r, int64_t g, int64_t begin, int64_t end) {
    const float* group = values.data<float>() + r * n_cols + begin;
    const GroupGrid best = encoding.asymmetric ? asymmetric_grid(group, end - begin, encoding)
                                               : symmetric_grid(group, end - begin, encoding);
    grid.scales.mutable_data<float>()[r * n_groups + g] = best.scale;
    if (encoding.asymmetric) grid.zeros.mutable_data<uint8_t>()[r * n_groups + g] = static_cast<uint8_t>(best.zero);
  });
  return grid;
}

Tensor round_to_grid(const Tensor& values, const IntGrid& grid, const Encoding& encoding) {
  const int64_t n_cols = values.dim(1);
  const IntRange range = int_range(encoding);
  const GroupIndex index(grid, encoding, n_cols);
  Tensor integers(DType::kI32, values.shape());
  for_each_group(values.dim(0), n_cols, index.width, [&](int64_t r, int64_t g, int64_t begin, int64_t end) {
    const float* row = values.data<float>() + r * n_cols;
    int32_t* out = integers.mutable_data<int32_t>() + r * n_cols;
    const float scale = grid.scales.data<float>()[index(r, g)];
    const int zero = encoding.asymmetric ? grid.zeros.data<uint8_t>()[index(r, g)] : 0;
    const auto lowest = static_cast<float>(range.lowest - zero);
    const auto highest = static_cast<float>(range.highest - zero);
    for (int64_t c = begin; c < end; ++c) {
      out[c] = static_cast<int32_t>(quantize(row[c], scale, lowest, highest)) + zero;
    }
  });
  return integers;
}

EncodedTensor from_integers(const Tensor& integers, const IntGrid& grid, const Encoding& encoding) {
  require_valid(encoding);
  const int64_t n_rows = integers.dim(0);
  const int64_t n_cols = integers.dim(1);
  const IntRange range = int_range(encoding);
  const int32_t* const q = integers.data<int32_t>();
  const auto* const wrong =
      std::find_if(q, q + integers.size(), [&](int32_t i) { return i < range.lowest || i > range.highest; });
  if (wrong != q + integers.size()) {
    failed("weights", fmt::format("the integer {} at row {}, column {} is none of {}", *wrong, (wrong - q) / n_cols,
                                  (wrong - q) % n_cols, encoding_name(encoding)));
  }
  EncodedTensor out{encoding, integers.shape(), {}, {}};
  if (encoding.kind == EncodingKind::kIntChannel) {
    out.data = Tensor(DType::kI8, out.shape);
    std::transform(q, q + integers.size(), out.data.mutable_data<int8_t>(),
                   [](int32_t i) { return static_cast<int8_t>(i); });
    out.scales = grid.scales.clone().reshaped({grid.scales.size()});
    return out;
  }
  const int64_t n_words = words_of_row(n_cols, encoding.bits);
  const int offset = encoding.asymmetric ? 0 : stored_offset(encoding.bits);
  out.data = Tensor(DType::kI32, {n_rows, n_words});
  std::vector<uint8_t> numbers(static_cast<size_t>(n_cols));
  for (int64_t r = 0; r < n_rows; ++r) {
    std::transform(q + r * n_cols, q + (r + 1) * n_cols, numbers.begin(),
                   [offset](int32_t i) { return static_cast<uint8_t>(i + offset); });
    pack_row(numbers.data(), n_cols, encoding.bits, out.data.mutable_data<uint32_t>() + r * n_words);
  }
  out.scales = group_scales(grid.scales);
  if (encoding.asymmetric) out.zeros = grid.zeros.clone();
  return out;
}

EncodedTensor with_row_scales(const EncodedTensor& encoded) {
  if (!encoded.encoding.per_tensor) return encoded;
  EncodedTensor out = encoded;
  out.encoding.per_tensor = false;
  out.scales = Tensor(DType::kF32, {encoded.shape[0]});
  std::fill_n(out.scales.mutable_data<float>(), encoded.shape[0], encoded.scales.data<float>()[0]);
  return out;
}

}  // namespace fettle
