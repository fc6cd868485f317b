// Dropout with Philox4x32-10 computed a vector of counters at a time: the same bits as base/philox.h.
#pragma once

#include <cstdint>
#include <type_traits>

#include "base/philox.h"
#include "kernels/vector/lanes.h"

namespace fettle::vector {
namespace {

// 64-bit words that hold n bits, and one more, so that bits_from reads whole words.
inline int64_t bit_words(int64_t n) {
  return n / 64 + 2;
}

// At least the next 32 bits from bit `at` on.
inline uint64_t bits_from(const uint64_t* bits, int64_t at) {
  const uint64_t* word = bits + at / 64;
  const int64_t shift = at % 64;
  return word[0] >> shift | word[1] << 1 << (63 - shift);
}

// Which elements one dropout keeps, 64 at a time.
template <typename V>
class DropoutBits {
 public:
  DropoutBits(float p, uint64_t seed, uint64_t stream) : stream_(stream), threshold_(dropout_threshold(p)) {
    for (uint32_t round = 0; round < kRounds; ++round) {
      keys_[round][0] = static_cast<uint32_t>(seed) + round * 0x9E3779B9;
      keys_[round][1] = static_cast<uint32_t>(seed >> 32) + round * 0xBB67AE85;
    }
  }

  // Bit i tells of element 8 · block + i.
  uint64_t of_block(uint64_t block) const {
    if (threshold_ > UINT16_MAX) return 0;
    constexpr uint64_t kBlocks = V::kWidth / 2;
    uint64_t bits = 0;
#pragma GCC unroll 2
    for (uint64_t done = 0; done < 8; done += kBlocks) bits |= of_vector(block + done) << (8 * done);
    return bits;
  }

  // Bits of elements [first, first + n), into bit_words(n) words.
  void fill(uint64_t first, int64_t n, uint64_t* bits) const {
    const uint64_t skip = first % 8;
    uint64_t block = first / 8;
    uint64_t present = skip != 0 ? of_block(block) : 0;
    for (int64_t done = 0; done < n; done += 64) {
      if (skip == 0) {
        *bits++ = of_block(block);
      } else {
        const uint64_t after = of_block(block + 8);
        *bits++ = present >> skip | after << (64 - skip);
        present = after;
      }
      block += 8;
    }
    *bits = 0;
  }

 private:
  using Int = typename V::Int;
  static constexpr int kRounds = 10;

  // The counter's words stand in the low halves of 64-bit lanes, one block to a lane; what is above them does not
  // count.
  uint64_t of_vector(uint64_t block) const {
    const Int multiplier0 = V::broadcast_64(0xD2511F53);
    const Int multiplier1 = V::broadcast_64(0xCD9E8D57);
    Int c0 = V::add_64(V::broadcast_64(block), V::unpack_order());
    Int c1 = V::high_halves(c0);
    Int c2 = V::broadcast_64(stream_);
    Int c3 = V::high_halves(c2);
#pragma GCC unroll 9
    for (int round = 0; round < kRounds - 1; ++round) {
      const Int product0 = V::multiply_low_halves(c0, multiplier0);
      const Int product1 = V::multiply_low_halves(c2, multiplier1);
      c0 = V::bit_xor(V::high_halves(product1), c1, V::broadcast_32(keys_[round][0]));
      c1 = product1;
      c2 = V::bit_xor(V::high_halves(product0), c3, V::broadcast_32(keys_[round][1]));
      c3 = product0;
    }
    // The last round leaves words 0 and 1 of a block in one lane, words 2 and 3 in another.
    const Int product0 = V::swap_halves(V::multiply_low_halves(c0, multiplier0));
    const Int product1 = V::swap_halves(V::multiply_low_halves(c2, multiplier1));
    const Int words0 = V::bit_xor(product1, c1, V::broadcast_32(keys_[kRounds - 1][0]));
    const Int words2 = V::bit_xor(product0, c3, V::broadcast_32(keys_[kRounds - 1][1]));
    const Int words01 = V::join_halves(words0, product1);
    const Int words23 = V::join_halves(words2, product0);
    return V::at_least_16(V::unpack_low_64(words01, words23), V::unpack_high_64(words01, words23),
                          V::broadcast_16(static_cast<uint16_t>(threshold_)));
  }

  uint64_t stream_;
  uint32_t threshold_;
  uint32_t keys_[kRounds][2];
};

template <typename V>
void dropout(const float* x, float* y, int64_t n, float p, uint64_t seed, uint64_t stream, uint64_t first) {
  const DropoutBits<V> draw(p, seed, stream);
  const typename V::Float factor = V::broadcast(1.0f / (1.0f - p));
  const auto apply = [&](int64_t at, uint64_t bits, auto lanes) {
    V::store(y + at, V::select(V::mask_of_bits(bits), V::load(x + at, lanes) * factor, V::zero()), lanes);
  };
  uint64_t block = first / 8;
  int64_t done = 0;
  const auto some = [&](int64_t count, uint64_t bits) {
    for_each_vector<V>(count, [&](int64_t i, auto lanes) { apply(done + i, bits >> i, lanes); });
    done += count;
    block += 8;
  };
  const auto skip = static_cast<int64_t>(first % 8);
  if (skip != 0) some(n < 64 - skip ? n : 64 - skip, draw.of_block(block) >> skip);
  const auto whole = [&](auto fetch) {
    const uint64_t bits = draw.of_block(block);
#pragma GCC unroll 8
    for (int64_t i = 0; i < 64; i += V::kWidth) {
      if constexpr (fetch) {
        prefetch_near(x + done + kFetchAhead + i);
        prefetch_to_write(y + done + kFetchAhead + i);
      }
      apply(done + i, bits >> i, AllLanes{});
    }
    done += 64;
    block += 8;
  };
  while (done + kFetchAhead + 64 <= n) whole(std::true_type{});
  while (done + 64 <= n) whole(std::false_type{});
  if (done < n) some(n - done, draw.of_block(block));
}

}  // namespace
}  // namespace fettle::vector
