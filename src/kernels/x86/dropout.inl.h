// Dropout with Philox4x32-10 computed a vector of counters at a time: the same bits as base/philox.h.
#pragma once

#include <cstdint>

#include "kernels/x86/lanes.h"

namespace fettle::x86 {
namespace {

// Words of blocks [block, block + kWidth) in order, 4 · kWidth of them.
template <typename V>
inline void philox_words(uint64_t seed, uint64_t stream, uint64_t block, uint32_t* words) {
  using Int = typename V::Int;
  constexpr int kRounds = 10;
  // Counters stand so that transposing words within 128-bit lanes leaves them in order.
  uint32_t low[V::kWidth];
  uint32_t high[V::kWidth];
  for (int lane = 0; lane < V::kLanes128; ++lane) {
    for (int j = 0; j < 4; ++j) {
      const uint64_t counter = block + static_cast<uint64_t>(V::kLanes128 * j + lane);
      low[4 * lane + j] = static_cast<uint32_t>(counter);
      high[4 * lane + j] = static_cast<uint32_t>(counter >> 32);
    }
  }
  Int c0 = V::load_int(low);
  Int c1 = V::load_int(high);
  Int c2 = V::broadcast_int(static_cast<uint32_t>(stream));
  Int c3 = V::broadcast_int(static_cast<uint32_t>(stream >> 32));
  uint32_t key0 = static_cast<uint32_t>(seed);
  uint32_t key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kRounds; ++round) {
    Int low0, high0, low1, high1;
    V::multiply_wide(c0, V::broadcast_int(0xD2511F53), low0, high0);
    V::multiply_wide(c2, V::broadcast_int(0xCD9E8D57), low1, high1);
    c0 = V::bit_xor(V::bit_xor(high1, c1), V::broadcast_int(key0));
    c1 = low1;
    c2 = V::bit_xor(V::bit_xor(high0, c3), V::broadcast_int(key1));
    c3 = low0;
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  const Int a = V::unpack_low_32(c0, c1);
  const Int b = V::unpack_low_32(c2, c3);
  const Int c = V::unpack_high_32(c0, c1);
  const Int d = V::unpack_high_32(c2, c3);
  V::store_int(words, V::unpack_low_64(a, b));
  V::store_int(words + V::kWidth, V::unpack_high_64(a, b));
  V::store_int(words + 2 * V::kWidth, V::unpack_low_64(c, d));
  V::store_int(words + 3 * V::kWidth, V::unpack_high_64(c, d));
}

template <typename V>
void dropout(const float* x, float* y, int64_t n, float p, uint64_t seed, uint64_t stream, uint64_t first) {
  constexpr int64_t kWords = 4 * V::kWidth;
  const auto threshold = static_cast<uint64_t>(static_cast<double>(p) * 4294967296.0);
  if (threshold > UINT32_MAX) {
    for_each_vector<V>(n, [&](int64_t i, auto lanes) { V::store(y + i, V::zero(), lanes); });
    return;
  }
  const typename V::Float factor = V::broadcast(1.0f / (1.0f - p));
  const typename V::Int least = V::broadcast_int(static_cast<uint32_t>(threshold));
  alignas(64) uint32_t words[kWords + V::kWidth] = {};  // a vector more, as partial vectors read whole ones
  int64_t skip = static_cast<int64_t>(first % 4);
  uint64_t block = first / 4;
  for (int64_t done = 0; done < n;) {
    philox_words<V>(seed, stream, block, words);
    const int64_t count = n - done < kWords - skip ? n - done : kWords - skip;
    for_each_vector<V>(count, [&](int64_t i, auto lanes) {
      const typename V::Float kept = V::load(x + done + i, lanes) * factor;
      V::store(y + done + i, V::select(V::at_least(V::load_int(words + skip + i), least), kept, V::zero()), lanes);
    });
    done += count;
    block += V::kWidth;
    skip = 0;
  }
}

}  // namespace
}  // namespace fettle::x86
