#include "train/parallel/communicator.h"

#include <cstring>

namespace fettle {

std::vector<double> Communicator::sum(std::span<const double> mine) {
  std::vector<int64_t> sizes;
  const std::vector<std::byte> all = gather(std::as_bytes(mine), sizes);
  std::vector<double> sums(mine.size());
  for (size_t at = 0; at < all.size(); at += sizeof(double)) {
    double value = 0;
    std::memcpy(&value, all.data() + at, sizeof value);
    sums[at / sizeof(double) % mine.size()] += value;
  }
  return sums;
}

double Communicator::from_first(double mine) {
  std::vector<int64_t> sizes;
  const std::vector<std::byte> all = gather(std::as_bytes(std::span(&mine, 1)), sizes);
  std::memcpy(&mine, all.data(), sizeof mine);
  return mine;
}

void Communicator::barrier() {
  std::vector<int64_t> sizes;
  gather({}, sizes);
}

}  // namespace fettle
