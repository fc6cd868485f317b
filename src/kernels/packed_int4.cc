#include "kernels/packed_int4.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/checked.h"
#include "base/error.h"

namespace fettle {
namespace {

constexpr int kMostMultiple = 127;
constexpr int64_t kGroupMultiple = 8;  // vector code unpacks eight inputs at once

uint16_t to_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

template <typename Element, typename Value>
std::vector<Element> unpack(const Int4Weights& w, Value value) {
  std::vector<Element> result(static_cast<size_t>(w.out_features * w.in_features));
  for (int64_t row = 0; row < w.out_features; ++row) {
    for (int64_t k = 0; k < w.in_features; k += 8) {
      const uint32_t eight = int4_eight(w, row, k);
      const int64_t n = std::min<int64_t>(8, w.in_features - k);
      Element* to = result.data() + row * w.in_features + k;
      for (int i = 0; i < n; ++i) to[i] = value(row, k / w.group_size, int4_of_eight(eight, i));
    }
  }
  return result;
}

}  // namespace

void check_int4_weights(const Int4Weights& w) {
  const int64_t n = checked_mul(w.out_features, w.in_features, "linear");
  checked_mul(n, 2 * static_cast<int64_t>(sizeof(float)), "linear");
  if (w.group_size <= 0 || w.group_size % kGroupMultiple != 0) {
    bad_input("linear", fmt::format("groups of {} weights", w.group_size), "use a multiple of 8");
  }
  if (w.image != nullptr) return;
  if ((w.values == nullptr || w.scales == nullptr) && n > 0) bad_input("linear", "4-bit weights without data");
}

Int4Codes int4_codes(const Int4Weights& w) {
  Int4Codes codes;
  codes.n_groups = (w.in_features + w.group_size - 1) / w.group_size;
  codes.multiples.resize(static_cast<size_t>(w.out_features * codes.n_groups));
  codes.scales.resize(static_cast<size_t>(w.out_features));
  for (int64_t row = 0; row < w.out_features; ++row) {
    const float* scales = w.scales + row * codes.n_groups;
    float largest = 0;
    for (int64_t g = 0; g < codes.n_groups; ++g) largest = std::max(largest, scales[g]);
    codes.scales[static_cast<size_t>(row)] = largest * (8.0f / kMostMultiple);
    for (int64_t g = 0; g < codes.n_groups; ++g) {
      const float share = largest > 0 ? scales[g] / largest * kMostMultiple : 0.0f;
      const float bounded = std::clamp(std::nearbyint(share), 0.0f, static_cast<float>(kMostMultiple));
      codes.multiples[static_cast<size_t>(row * codes.n_groups + g)] = static_cast<uint8_t>(bounded);
    }
  }
  return codes;
}

std::unique_ptr<PackedLinear> unpack_as_int8(const Int4Weights& w, PackFunction pack_int8) {
  check_int4_weights(w);
  if (w.image != nullptr) {
    return pack_int8(
        {.out_features = w.out_features, .in_features = w.in_features, .image = w.image, .input_scale = w.input_scale});
  }
  const Int4Codes codes = int4_codes(w);
  const std::vector<int8_t> values = unpack<int8_t>(w, [&](int64_t row, int64_t group, int value) {
    return int4_as_int8(value, codes.multiples[static_cast<size_t>(row * codes.n_groups + group)]);
  });
  return pack_int8({.out_features = w.out_features,
                    .in_features = w.in_features,
                    .weight = values.data(),
                    .scales = codes.scales.data(),
                    .bias = w.bias,
                    .input_scale = w.input_scale});
}

std::unique_ptr<PackedLinear> unpack_as_bf16(const Int4Weights& w, PackFunction pack_bf16) {
  check_int4_weights(w);
  if (w.image != nullptr) {
    return pack_bf16({.out_features = w.out_features, .in_features = w.in_features, .image = w.image});
  }
  const int64_t n_groups = (w.in_features + w.group_size - 1) / w.group_size;
  const std::vector<uint16_t> values = unpack<uint16_t>(w, [&](int64_t row, int64_t group, int value) {
    return to_bf16(static_cast<float>(value) * w.scales[row * n_groups + group]);
  });
  return pack_bf16(
      {.out_features = w.out_features, .in_features = w.in_features, .weight = values.data(), .bias = w.bias});
}

}  // namespace fettle
