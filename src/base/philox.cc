#include "base/philox.h"

#include <cassert>
#include <cmath>
#include <numbers>

namespace fettle {
namespace {

constexpr int kRounds = 10;
constexpr uint32_t kMultiplier0 = 0xD2511F53;
constexpr uint32_t kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9;  // golden ratio
constexpr uint32_t kWeyl1 = 0xBB67AE85;  // sqrt(3) - 1

uint32_t low(uint64_t value) {
  return static_cast<uint32_t>(value);
}
uint32_t high(uint64_t value) {
  return static_cast<uint32_t>(value >> 32);
}

}  // namespace

std::array<uint32_t, 4> philox4x32(uint64_t seed, uint64_t stream, uint64_t counter) {
  std::array<uint32_t, 4> c = {low(counter), high(counter), low(stream), high(stream)};
  uint32_t key0 = low(seed);
  uint32_t key1 = high(seed);
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = uint64_t{kMultiplier0} * c[0];
    const uint64_t product1 = uint64_t{kMultiplier1} * c[2];
    c = {high(product1) ^ c[1] ^ key0, low(product1), high(product0) ^ c[3] ^ key1, low(product0)};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return c;
}

uint32_t Philox::next_u32() {
  const uint64_t block = position_ / 4;
  if (block != buffered_block_) {
    buffer_ = philox4x32(seed_, stream_, block);
    buffered_block_ = block;
  }
  return buffer_[position_++ % 4];
}

uint64_t Philox::next_u64() {
  const uint64_t upper = next_u32();
  return upper << 32 | next_u32();
}

float Philox::uniform() {
  return static_cast<float>(next_u32() >> 8) * 0x1p-24f;
}
double Philox::uniform_double() {
  return static_cast<double>(next_u64() >> 11) * 0x1p-53;
}

float Philox::normal() {
  // The radius draw lies in (0, 1], so its logarithm is finite.
  const double radius_draw = (static_cast<double>(next_u32()) + 1.0) * 0x1p-32;
  const double angle_draw = static_cast<double>(next_u32()) * 0x1p-32;
  return static_cast<float>(std::sqrt(-2.0 * std::log(radius_draw)) * std::cos(2.0 * std::numbers::pi * angle_draw));
}

uint64_t Philox::below(uint64_t n) {
  assert(n >= 1);
  // Values under 2^64 mod n are drawn again, so that every residue has equally many preimages.
  const uint64_t rejected = (0 - n) % n;
  uint64_t value = next_u64();
  while (value < rejected) value = next_u64();
  return value % n;
}

void Philox::seek(uint64_t position) {
  position_ = position;
  buffered_block_ = ~uint64_t{0};
}

}  // namespace fettle
