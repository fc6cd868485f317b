#include "kernels/packing.h"

#include <string>
#include <vector>

#include "base/checksum.h"

namespace fettle {
namespace {

// More than one group of panels, the last not full, and more than one block of inputs in every encoding, the last not
// full.
constexpr int64_t kOutFeatures = 133;
constexpr int64_t kInFeatures = 198;
constexpr int64_t kGroupSizes[] = {8, 32};

// Numbers that differ from place to place; the largest is below 127.
template <typename T>
std::vector<T> numbers(int64_t n, int64_t period) {
  std::vector<T> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(static_cast<T>(i * 7 % period));
  return values;
}

uint64_t image_checksum(const std::unique_ptr<PackedLinear>& linear) {
  return checksum64(linear->image());
}

}  // namespace

uint64_t packing_fingerprint(const KernelTable& table) {
  const auto bias = numbers<float>(kOutFeatures, 97);
  const auto row_scales = numbers<float>(kOutFeatures, 89);
  const auto weights = [&](const auto& values) {
    return LinearWeights{.out_features = kOutFeatures,
                         .in_features = kInFeatures,
                         .weight = values.data(),
                         .scales = row_scales.data(),
                         .bias = bias.data()};
  };
  constexpr int64_t kWeights = kOutFeatures * kInFeatures;
  std::string all = std::to_string(image_checksum(table.pack_f32(weights(numbers<float>(kWeights, 1009)))));
  all += ' ' + std::to_string(image_checksum(table.pack_bf16(weights(numbers<uint16_t>(kWeights, 1009)))));
  all += ' ' + std::to_string(image_checksum(table.pack_int8(weights(numbers<int8_t>(kWeights, 127)))));

  auto sparse = numbers<int8_t>(kWeights, 127);
  for (size_t i = 0; i < sparse.size(); ++i) sparse[i] = i / 4 % 5 < 2 ? sparse[i] : int8_t{0};
  all += ' ' + std::to_string(image_checksum(table.pack_sparse_int8(weights(sparse))));

  const auto nibbles = numbers<uint8_t>(kOutFeatures * ((kInFeatures + 1) / 2), 251);
  for (const int64_t group_size : kGroupSizes) {
    const auto scales = numbers<float>(kOutFeatures * ((kInFeatures + group_size - 1) / group_size), 61);
    const Int4Weights int4{.out_features = kOutFeatures,
                           .in_features = kInFeatures,
                           .group_size = group_size,
                           .values = nibbles.data(),
                           .scales = scales.data(),
                           .bias = bias.data()};
    all += ' ' + std::to_string(image_checksum(table.pack_int4(int4)));
    all += ' ' + std::to_string(image_checksum(table.pack_int4_bf16(int4)));
  }
  return checksum64(all);
}

}  // namespace fettle
